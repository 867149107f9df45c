"""Transactions: reads that are validated together, and writes that stand or fall as one.

Nothing is held while the block of a transaction runs: no lock, no lease, no session.  Its commit
compares everything that it has read and written within one store transaction (`coherence.joint`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from coherence.conflict import Conflicts
from coherence.errors import AgentReadOnly, GrantTimeout, StoreFault
from coherence.joint import Joint
from coherence.messages import (
    Abandon,
    Commit,
    Nack,
    Refusal,
    digest_of,
)
from coherence.refs import Ref
from coherence.runtime.session import Session
from coherence.view import View
from coherence.workspace.blocks import Blocks
from coherence.workspace.reading import Operation, Waits
from coherence.workspace.resolving import Wanted
from coherence.workspace.transaction import Attempt
from coherence.workspace.writing import ATTEMPTS, check_wait, checks_of
from message_passing.process import Time

#: How often `transact` calls its function at most.
CALLS = 4


class Transacting(Blocks):
    """The transactions of one agent."""

    def __init__(self, session: Session, waits: Waits) -> None:
        super().__init__(session, waits)
        self._clock = session.shared.caches.clock

    def tx_commit(self, tx: Attempt) -> Operation[None]:
        """End the block: publish everything, or nothing.  Raises `Conflicts`."""
        try:
            if tx.refusal is not None:
                raise tx.refusal
            yield from self._see_unseen(tx)
            for name in sorted(tx.writes):
                if name in self._caches.drafting and name not in tx.grants:
                    yield from self._free(name)
            tx.refs = yield from self._stand(tx)
        finally:
            tx.is_open = False

    def transact(
        self,
        function: Callable[[Any], Any],
        begin: Callable[[], tuple[Attempt, Any]],
        operations: Callable[[], Any],
        wait_s: float | None,
    ) -> Operation[Any]:
        """The result of `function`, called with a transaction until what it writes stands.

        From the second call on the agent holds the grants of every name that earlier calls have
        read or written, so no other agent can commit those.
        """
        self._outside()
        until = self._until(check_wait(wait_s))
        names: set[str] = set()
        lost: Conflicts | None = None
        for _ in range(CALLS):
            tx, given = begin()
            self.call.block = tx
            try:
                if names:
                    yield from self._take_grants(tx, names, until)
                yield from operations().tx_begin(tx, ())
                try:
                    result = yield from self._lend(function, given)
                except BaseException as error:
                    if not self.call.is_cut_off_by(error):
                        yield from operations().tx_end(tx, error)
                    raise
                if tx.change():
                    yield from operations().tx_commit(tx)
                else:
                    yield from operations().tx_end(tx, None)
                yield from self._give_back(tx)
                return result
            except BaseException as error:
                tx.is_open = False
                if self.call.is_cut_off_by(error):
                    raise
                yield from self._give_back(tx)
                touched = {*tx.reads, *tx.writes}
                if error is not tx.refusal or touched <= names:
                    raise  # under the grants, only its own doing can have it refused
                lost = tx.refusal
                names |= touched
        assert lost is not None
        raise lost

    # The commit.

    def _stand(self, tx: Attempt) -> Operation[dict[str, Ref]]:
        """The versions published, all of them.

        As for a single write, what is overwritten has its base replaced some times; behind a grant
        of another agent, the transaction waits for the grants of all that it writes.
        """
        trying = dict(tx.writes)
        for _ in range(ATTEMPTS):
            done = yield from self._try(tx, trying)
            if not isinstance(done, Joint):
                return done
            yield from self._rebase(tx, trying, done.refused)
            if any(nack.reason is Refusal.BUSY for nack in done.refused.values()):
                break
        return (yield from self._stand_in_turn(tx, trying))

    def _try(self, tx: Attempt, trying: Mapping[str, Wanted]) -> Operation[dict[str, Ref] | Joint]:
        """Commit once.  The versions published, or why homes refuse it."""
        made, commits = {}, []
        for name in sorted(trying):
            wanted, grant = trying[name], tx.grants.get(name)
            made[name] = self._made(wanted, wanted.base)
            epoch = grant.epoch if grant is not None else 0
            commits.append((name, Commit(made[name], wanted.base, epoch, wanted.known)))
        reads = {name: read for name, read in tx.reads.items() if name not in trying}
        answers = yield from self._ask_all(commits, checks_of(reads))
        if isinstance(answers, Joint):
            return answers
        refs = {}
        for (name, commit), answer in zip(commits, answers, strict=True):
            if name in tx.grants:
                del tx.grants[name]
                self._release(name)
            self._count(name, made[name], commit.base, answer)
            refs[name] = self._committed(made[name], answer).ref
        return refs

    def _rebase(
        self, tx: Attempt, trying: dict[str, Wanted], refused: Mapping[str, Nack]
    ) -> Operation[None]:
        """Derive the refused writes from the current versions, where nothing is lost by that.

        Raises `Conflicts` if one of them cannot be.
        """
        for name, nack in refused.items():
            wanted = trying.get(name)
            if nack.reason is Refusal.BUSY:
                continue
            if nack.reason is Refusal.FENCED and wanted is not None:
                tx.grants.pop(name, None)
                self._release(name)
                continue
            if wanted is None or not (yield from self._may_move(tx, wanted, nack)):
                stale = [each for each, why in refused.items() if why.reason is Refusal.STALE]
                tx.refusal = yield from self._refused_all(tx.reads, tx.writes, tx.held, stale)
                raise tx.refusal
            trying[name] = replace(wanted, base=nack.version, known=None)

    def _may_move(self, tx: Attempt, wanted: Wanted, nack: Nack) -> Operation[bool]:
        """Whether a stale write may derive from the current version: it has read none."""
        if wanted.name in tx.reads:
            return False
        if wanted.overwrite:
            return True
        return not wanted.base and (yield from self._is_gone(wanted.name, nack.version))

    def _stand_in_turn(self, tx: Attempt, trying: dict[str, Wanted]) -> Operation[dict[str, Ref]]:
        """Wait for the grants of all that is written, in the order of names; then commit.

        Again if the grants ended meanwhile, as when the process was stopped.
        """
        until = self._until(tx.wait_s)
        for _ in range(ATTEMPTS):
            yield from self._give_back(tx)
            yield from self._take_grants(tx, trying, until)
            try:
                for name, grant in tx.grants.items():
                    wanted, held = trying[name], grant.held
                    fresh = not wanted.base and not isinstance(held, View)
                    if name not in tx.reads and (wanted.overwrite or fresh):
                        trying[name] = replace(wanted, base=grant.base, known=digest_of(held))
                done = yield from self._try(tx, trying)
                if not isinstance(done, Joint):
                    return done
                yield from self._rebase(tx, trying, done.refused)
            except BaseException as error:
                if not self.call.is_cut_off_by(error):  # otherwise the call's end gives them back
                    yield from self._give_back(tx)
                raise
        yield from self._give_back(tx)
        raise GrantTimeout(f"the grants ended before the commit, {ATTEMPTS} times")

    # Grants.

    def _take_grants(
        self, tx: Attempt, names: Iterable[str], until: Time | None
    ) -> Operation[None]:
        """Wait for these grants in the order of names, so that no two agents wait for each other.

        Raises `GrantTimeout` at the deadline, and at once if the agent has a draft.
        """
        for drafted, owner in self._caches.drafting.items():
            if drafted not in tx.grants and (owner is None or owner() is not None):
                raise GrantTimeout(
                    f"this agent drafts {drafted!r}, and cannot wait for another grant meanwhile",
                    remedy="leave the draft first",
                )
        try:
            for name in sorted(names):
                left = None if until is None else max(0.0, until - self._clock())
                tx.grants[name] = yield from self._grant(name, left, keep_base=True)
        except BaseException as error:
            if not self.call.is_cut_off_by(error):
                yield from self._give_back(tx)
            raise

    def _give_back(self, tx: Attempt) -> Operation[None]:
        """Give the grants back, in one store transaction.  Without the store, leases end them."""
        if not tx.grants:
            return
        requests = [(name, Abandon(grant.epoch)) for name, grant in tx.grants.items()]
        for name in tx.grants:
            self._release(name)
        tx.grants.clear()
        with suppress(StoreFault):
            yield from self._waits.call(self.session.ask_all, requests)

    def _until(self, wait_s: float | None) -> Time | None:
        return None if wait_s is None else self._clock() + wait_s


class Viewing(Transacting):
    """The operations of an agent that was opened read-only."""

    def __init__(self, session: Session, waits: Waits) -> None:
        super().__init__(session, waits)
        self._block = lambda: None  # so that `write` asks `_outside`, as every other change does

    def _outside(self) -> None:
        raise AgentReadOnly(f"{self.session.name!r} was opened read-only")
