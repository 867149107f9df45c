"""A thread for the code of a user's model, which may take for ever."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from message_passing.errors import CallerError

#: How long a request waits for an answer.
PATIENCE_S: Final = 20.0

T = TypeVar("T")
_Asked: TypeAlias = tuple[Callable[[], Any], "Future[Any]"]


class ModelBusy(CallerError):
    """The model's own code has not answered."""

    remedy: ClassVar[str] = "an action or a predicate takes long: wait and ask again"  # type: ignore[misc]


class Aside:
    """Calls, one after another, in a thread that the program's end does not wait for.

    From any thread.  The thread begins with the first call.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._calls: SimpleQueue[_Asked | None] = SimpleQueue()
        self._open: set[Future[Any]] = set()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._ended = False

    def ask(self, call: Callable[[], T]) -> T:
        """What `call` returns.  Raises what it raises, and `ModelBusy` if that takes too long."""
        asked: Future[T] = Future()
        with self._lock:
            if self._ended:
                raise ModelBusy("the console is ending")
            self._open.add(asked)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="model", daemon=True)
                self._thread.start()
        self._calls.put((call, asked))
        try:
            return asked.result(self._patience_s)
        except FutureTimeout:
            # Not one of the call itself: that is an answer.
            if asked.done() and not asked.cancelled():
                raise
            raise ModelBusy(f"no answer for {self._patience_s:g} s") from None
        except CancelledError:
            raise ModelBusy("the console is ending") from None
        finally:
            asked.cancel()
            with self._lock:
                self._open.discard(asked)

    def end(self) -> None:
        """Let the calls that wait fail, and the thread end when it can.  Idempotent."""
        with self._lock:
            self._ended = True
            waiting = list(self._open)
        for each in waiting:
            if not each.cancel():
                with suppress(InvalidStateError):  # it has just been answered
                    # It still runs, and the request does not wait for it any longer.
                    each.set_exception(CancelledError())
        self._calls.put(None)

    def _run(self) -> None:
        while (asked := self._calls.get()) is not None:
            call, answer = asked
            if not answer.set_running_or_notify_cancel():
                continue
            with suppress(InvalidStateError):  # `end` was faster
                try:
                    answer.set_result(call())
                except InvalidStateError:
                    raise
                except Exception as error:
                    answer.set_exception(error)
                except BaseException as error:  # sys.exit, which is for this program to call
                    answer.set_exception(RuntimeError(f"{type(error).__name__} by a model"))
