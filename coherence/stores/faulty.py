"""A store that fails on purpose, for tests of this package and of yours.

Wraps any store and counts the moments at which something can go wrong: before each call, and
within each transaction before and after each of its steps and on both sides of taking effect.  At
the given moment it raises the given exception.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from coherence.errors import StoreFault
from coherence.stores.port import Store

#: Calls of a transaction, each with a moment before it and one after.
STEPS = (
    "load",
    "load_all",
    "absent",
    "save",
    "publish",
    "append",
    "content",
    "count",
    "tally",
)


class Crash(BaseException):
    """The process ends here.  No handler of this package may catch it and continue."""


class Faulty:
    """`store`, which fails at moment `at` with the result of `make`.  `moments` counts moments.

    At a moment after a transaction has taken effect, the exception should be an `OutcomeUnknown` or
    a `Crash`: any other would break the promise *definite*.  After a `Crash` the process is dead:
    code that still runs in it, such as a thread that renews leases, can no longer reach the store.
    """

    def __init__(
        self, store: Store, at: int = 0, make: Callable[[], BaseException] = Crash
    ) -> None:
        self.store = store
        self.at = at
        self.make = make
        self.moments = 0
        self.dead = False
        #: The moments between a transaction's effect and its return.
        self.effected: list[int] = []

    def moment(self) -> None:
        """A failure can happen here."""
        if self.dead:
            raise StoreFault("the process has ended")
        self.moments += 1
        if self.moments == self.at:
            fault = self.make()
            self.dead = isinstance(fault, Crash)
            raise fault

    def transaction(self, *, publishes: bool) -> _Faulty:
        self.moment()
        return _Faulty(self, self.store.transaction(publishes=publishes))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.store, name)
        if not callable(value) or name in ("mark", "wait", "wake", "release", "close"):
            return value

        @wraps(value)
        def call(*args: Any, **options: Any) -> Any:
            self.moment()
            return value(*args, **options)

        return call


class _Faulty:
    def __init__(self, outer: Faulty, inner: Any) -> None:
        self._outer, self._inner = outer, inner

    def __enter__(self) -> Any:
        self._tx = self._inner.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if kind is None:
            try:
                self._outer.moment()
            except BaseException as fault:
                self._inner.__exit__(type(fault), fault, None)
                raise
        done = self._inner.__exit__(kind, error, trace)
        if kind is None:
            self._outer.effected.append(self._outer.moments + 1)
            self._outer.moment()
        return done

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._tx, name)
        if name not in STEPS:
            return value

        @wraps(value)
        def step(*args: Any, **options: Any) -> Any:
            self._outer.moment()
            done = value(*args, **options)
            self._outer.moment()
            return done

        return step
