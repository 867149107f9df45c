"""The block of a transaction: what it reads, and what it will write.

Every read confirms all before it, so what a block has seen was the state of the store at one
moment.  Writes are noted, and the store does not learn of them until the block ends
(`coherence.workspace.transacting`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from weakref import ref

from msgspec.structs import replace

from coherence.contents import TOMBSTONE, Content
from coherence.errors import BadArgument, ContentTooLarge, UnknownArtifact
from coherence.messages import Digest, Version
from coherence.notes import check_reason
from coherence.refs import Ref, check_name
from coherence.view import View
from coherence.workspace.cutting import check_names
from coherence.workspace.reading import Operation
from coherence.workspace.resolving import Wanted, is_current
from coherence.workspace.transaction import NAMES_MAX, Attempt, Missing
from coherence.workspace.writing import Writing, check_wait


class Blocks(Writing):
    """The blocks of one agent's transactions."""

    def tx_begin(self, tx: Attempt, names: Collection[str]) -> Operation[None]:
        """Begin the block, with one cut of `names`."""
        self._outside()
        check_wait(tx.wait_s)
        check_reason(tx.reason)
        reads = check_names(names)
        tx.is_open = True
        self._block = ref(tx)
        if reads:
            self._require_room(tx, reads)
            for name in self._caches.drafting.keys() & set(reads):
                yield from self._free(name)
            yield from self._extend(tx, reads)

    def tx_read(
        self, tx: Attempt, name: str, have: Ref | str | None, missing: Any
    ) -> Operation[Any]:
        """A read that is valid together with all before it."""
        self._readable(tx, name)
        known = self._known(name, have) if have is not None else None
        claim = (known, self._claimed(known)) if known is not None else None
        if name not in tx.reads:
            if name in self._caches.drafting and name not in tx.grants:
                yield from self._free(name)
            yield from self._extend(tx, [name])
        there = tx.held.get(name)
        if not isinstance(there, View):
            if missing is not Missing.RAISES:
                return missing
            if there is not None:
                raise UnknownArtifact.deleted(name, there.ref)
            raise UnknownArtifact.named(name)
        view = yield from self._served_as(there, claim)
        if self.forgets:
            self.call.touched.setdefault(name, self.given(name))
            self.remember(name)
        return self.account.read(view)

    def tx_write(
        self,
        tx: Attempt,
        name: str,
        content: Content,
        expect: Ref | str | int | None,
        overwrite: bool,
        reason: str,
    ) -> None:
        """Note what is to be written."""
        self._writable(tx, name)
        wanted = self._noted(tx, name, content, expect, overwrite, reason)
        others = sum(w.handle.size_bytes for other, w in tx.writes.items() if other != name)
        if others + wanted.handle.size_bytes > (limit := self._limits.transaction_bytes):
            raise ContentTooLarge(
                f"{others + wanted.handle.size_bytes} bytes in one transaction, the limit is"
                f" {limit}"
            )
        tx.unseen.discard(name)
        tx.writes[name] = wanted

    def tx_delete(
        self,
        tx: Attempt,
        name: str,
        expect: Ref | str | int | None,
        overwrite: bool,
        reason: str,
    ) -> None:
        """Note what is to be deleted."""
        self._writable(tx, name)
        if name in tx.reads and not isinstance(tx.held.get(name), View):
            raise UnknownArtifact.named(name)
        tx.writes[name] = self._noted(tx, name, None, expect, overwrite, reason)
        if expect is None and name not in tx.reads:
            tx.unseen.add(name)
        else:
            tx.unseen.discard(name)

    def tx_rename(self, tx: Attempt, name: str, to: str, reason: str) -> None:
        """Note a new name."""
        self._writable(tx, name)
        self._writable(tx, to)
        self._require_room(tx, (name, to))
        if name == to:
            raise BadArgument(f"{name!r} is its name already")
        for other in (name, to):
            if other in tx.writes:
                raise BadArgument(
                    f"this transaction writes {other!r}", remedy="write it under its new name"
                )
        if isinstance(tx.held.get(to), View):
            raise BadArgument(f"{to!r} exists", remedy="write it, and delete the other one")
        self.tx_delete(tx, name, None, False, reason)
        tx.renames[to] = name
        if name in tx.reads:
            self._find_renamed(tx, to)

    def tx_end(self, tx: Attempt, error: BaseException | None) -> Operation[None]:
        """End the block, which has written nothing or has raised `error`."""
        yield from ()
        tx.is_open = False
        if error is None:
            if tx.refusal is not None:
                raise tx.refusal
            tx.refs = {}

    # Rules.

    def _readable(self, tx: Attempt, name: str) -> None:
        self._require_open(tx)
        check_name(name)
        if name in tx.writes or name in tx.renames:
            raise BadArgument(
                f"this transaction writes {name!r}", remedy="look at the transaction's writes"
            )
        self._require_room(tx, (name,))

    def _writable(self, tx: Attempt, name: str) -> None:
        self._require_open(tx)
        check_name(name)
        self._require_room(tx, (name,))
        owner = self._caches.drafting.get(name)
        if owner is not None and owner() is not None:
            raise BadArgument(
                f"this agent is drafting {name!r}", remedy="change the draft, and leave it first"
            )

    def _require_open(self, tx: Attempt) -> None:
        if not tx.is_open:
            raise BadArgument(
                "this transaction is not open", remedy="use it in its block: with agent.transaction"
            )
        if tx.refusal is not None:
            raise tx.refusal

    def _require_room(self, tx: Attempt, names: Iterable[str]) -> None:
        if len({*tx.reads, *tx.writes, *tx.renames, *names}) > NAMES_MAX:
            raise BadArgument(
                f"a transaction has at most {NAMES_MAX} artifacts",
                remedy="split it, or read with snapshot() what it does not depend on",
            )

    def _noted(
        self,
        tx: Attempt,
        name: str,
        content: Content | None,
        expect: Ref | str | int | None,
        overwrite: bool,
        reason: str,
    ) -> Wanted:
        """A write, derived from what the transaction has read; a deletion without content."""
        handle = self.handle(content) if content is not None else TOMBSTONE
        reason = check_reason(reason) or tx.reason
        read, earlier = tx.reads.get(name), tx.writes.get(name)
        base: Version
        known: Digest
        if expect is not None:
            base, known = self._derived(name, expect, overwrite)
            if read is not None and read.version != base:
                raise BadArgument(
                    f"this transaction has read {read}, and expect is {base}",
                    remedy="leave out expect",
                )
        elif read is not None:
            base, known = read.version, read.digest if read.version else None
        elif overwrite:
            base, known = self._caches.derived(name)
        elif earlier is not None:
            base, known, overwrite = earlier.base, earlier.known, earlier.overwrite
        else:
            base, known = 0, None
        return Wanted(
            name,
            content if content is not None else b"",
            handle,
            base,
            known,
            base,
            tx.wait_s,
            overwrite,
            reason,
        )

    # Reads.

    def _extend(self, tx: Attempt, names: Iterable[str]) -> Operation[None]:
        """One cut of `names` and of everything read so far.

        Raises `Conflicts` if something has moved: no later read could be valid together with it.
        """
        new = [name for name in dict.fromkeys(names) if name not in tx.reads]
        cuts, _ = yield from self._cut([*tx.reads, *new], tx.held)
        if not all(is_current(read, cuts[name]) for name, read in tx.reads.items()):
            tx.refusal = yield from self._conflicts(tx.reads, tx.writes, tx.held, cuts)
            raise tx.refusal
        for name in new:
            cut = cuts[name]
            self.call.touched.setdefault(name, self.given(name))
            read = self._ref(name, cut)
            if cut.entry is not None:
                tx.held[name] = self._cached(name, cut)
            tx.reads[name] = read
            self._given_in_cut(read, cut)

    def _see_unseen(self, tx: Attempt) -> Operation[None]:
        """Read what is to be deleted or renamed, and was not read."""
        if tx.unseen:
            names = sorted(tx.unseen)
            yield from self._extend(tx, names)
            for name in names:
                there, wanted = tx.held.get(name), tx.writes[name]
                if not isinstance(there, View):
                    raise UnknownArtifact.named(name)
                seen = wanted.seen if wanted.overwrite else there.version
                tx.writes[name] = replace(wanted, base=there.version, known=there.digest, seen=seen)
                if wanted.overwrite:
                    del tx.reads[name]  # the deletion does not rest on it
            tx.unseen.clear()
        for to in list(tx.renames):
            self._find_renamed(tx, to)

    def _find_renamed(self, tx: Attempt, to: str) -> None:
        """Note the content that is to have the name `to`."""
        name = tx.renames.pop(to)
        there = tx.held[name]
        assert isinstance(there, View)
        wanted = self._noted(tx, to, there.content, None, False, tx.writes[name].reason)
        tx.writes[to] = wanted
