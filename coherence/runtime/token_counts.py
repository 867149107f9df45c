"""Tokens of versions: each is counted once, and within a budget of time.

With a tokenizer a text of 4 KB costs as much as a write or more, so nothing is counted in a call:
`coherence.runtime.accounts` collects counts in the background and at the end of an agent.  The
budget bounds the cost by construction; versions beyond it are estimated.
"""

from __future__ import annotations

import logging
import threading
from _thread import LockType, allocate_lock
from hashlib import blake2b
from typing import Final

from coherence.tokens import Counter, Estimate, installed
from coherence.view import ESTIMATE, Served, View
from message_passing.interrupts import start
from message_passing.ports import Clock

#: The part of the time since the last count that a tokenizer may use, and the most that it saves.
SHARE: Final = 0.05
BURST_S: Final = 0.25
#: The assumed time for one byte of text, before the first measurement, in seconds.
BYTE_S: Final = 1e-6
#: For how many versions and differences the count is remembered; about 300 bytes each.
KNOWN_MAX: Final = 20_000
#: How long a count waits for the tokenizer, in seconds; it takes 0.2 s to load.
LOAD_S: Final = 5.0

log = logging.getLogger("coherence.workspace")


class Installed:
    """The counter that needs no network, found once, in a thread that no signal reaches.

    An interrupt can cut an import off, and leave a lock of Python's imports taken for ever.  So the
    calls of an application import nothing here.  If the application's own import was cut off, no
    thread can import: then the counts are estimated, and no caller waits again.
    """

    def __init__(self) -> None:
        self._found: Counter | None = None
        self._is_late = False

    def __call__(self) -> Counter:
        if self._found is None and not self._is_late:
            done = allocate_lock()
            done.acquire()
            try:
                name = "coherence-tokenizer"
                start(threading.Thread(target=self._find, args=(done,), name=name, daemon=True))
            except RuntimeError:  # the process ends
                self._find(done)
            self._is_late = not done.acquire(timeout=LOAD_S)
        return self._found or Estimate()

    def _find(self, done: LockType) -> None:
        found: Counter = Estimate()
        try:
            found = installed()
        finally:
            self._found = found
            done.release()


_installed = Installed()


def _counter() -> Counter:
    """The counter to use now; an exact one takes 0.2 s to load, so it is not asked for early."""
    given = View.counter
    return _installed() if given is ESTIMATE else given


class TokenCounts:
    """Counts tokens for one thread at a time: exactly where a tokenizer is installed.

    The tokenizer is `View.counter`, if the application has set one, else one that needs no network.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[object, ...], int] = {}
        self._budget_s = BURST_S
        self._since = clock()
        self._byte_s = BYTE_S

    def begin(self) -> None:
        """Begin a round: add the time that has passed to the budget."""
        now = self._clock()
        self._budget_s = min(BURST_S, self._budget_s + SHARE * (now - self._since))
        self._since = now

    def whole(self, view: View) -> tuple[int, bool]:
        """The tokens of the whole content, and whether they are exact."""
        content = view.content
        if isinstance(_counter(), Estimate):
            return -(-view.handle.size_bytes // 4), False
        if not isinstance(content, str):
            try:
                content = content.decode()
            except UnicodeDecodeError:
                return -(-view.handle.size_bytes // 4), False
        return self._count((view.ref, None), content, view.handle.size_bytes)

    def shown(self, view: View) -> tuple[int, bool]:
        """The tokens of `View.for_prompt`, and whether they are exact."""
        if view.served is Served.DELTA:
            return self._count((view.ref, view.have), view.for_prompt(), len(view.changes))
        if view.served is Served.UNCHANGED:
            text = view.for_prompt()
            return self._count((text,), text, len(text))
        return self.whole(view)

    def text(self, text: str) -> tuple[int, bool]:
        """The tokens of a text that is counted only once."""
        return self._count(None, text, len(text))

    def repeated(self, text: str) -> tuple[int, bool]:
        """The tokens of a text that will be counted again, as that of a message in a prompt."""
        return self._count((blake2b(text.encode("utf-8", "replace")).digest(),), text, len(text))

    def _count(
        self, key: tuple[object, ...] | None, text: str, size_bytes: int
    ) -> tuple[int, bool]:
        counter = _counter()
        if isinstance(counter, Estimate):
            return Estimate().count(text), False
        known = self._known.get(key) if key is not None else None
        if known is not None:
            return known, True
        if size_bytes * self._byte_s > self._budget_s:
            return Estimate().count(text), False
        begun = self._clock()
        try:
            tokens = counter.count(text)
        except Exception as error:
            log.warning("%s has failed, so tokens are estimated: %s", counter.label, error)
            return Estimate().count(text), False
        spent_s = self._clock() - begun
        self._budget_s -= spent_s
        if size_bytes > 1000:
            self._byte_s = (self._byte_s + spent_s / size_bytes) / 2
        if key is not None:
            self._known[key] = tokens
            if len(self._known) > KNOWN_MAX:
                for old in list(self._known)[: KNOWN_MAX // 2]:
                    del self._known[old]
        return tokens, True
