"""The counters and the calls of a workspace for OpenTelemetry, if its API is installed.

::

    from opentelemetry import trace

    from coherence.workspace.telemetry import observe

    observe(workspace)                                           # metrics
    observe(workspace, tracer=trace.get_tracer("my_app"))        # and a span for each call

Both go to the providers that the application has set.  Metrics are read when they are collected, so
they cost a call nothing.  Spans cost each call of this workspace some microseconds, cached reads
too; a workspace without a tracer pays nothing for them.

==================  ===========================================================================
span                what it covers
==================  ===========================================================================
``coherence.read``  a read, also of an older version or in a transaction, or a snapshot
``coherence.write`` a write, an update, a deletion, a renaming, or the publishing of a draft or of
                    a transaction
``coherence.wait``  a wait for an answer that home could not give at once, such as a grant
``coherence.conflict``  a refused write: an event of no duration, within the span of the write
==================  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from coherence.conflict import Conflict
from coherence.messages import Result
from coherence.refs import Ref
from coherence.runtime.caches import Asked
from coherence.runtime.session import Session
from coherence.view import View, prompt_tokens
from coherence.workspace.agent import BaseAgent
from coherence.workspace.reading import Layer, Operation
from coherence.workspace.workspace import Workspace, site_of
from message_passing.errors import EnvironmentFault

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from opentelemetry.trace import Span, Tracer

T = TypeVar("T")

#: Calls of `Writing` -> the name of their span; `update` and others are told apart by an attribute.
SPANS: Final = {
    "read": "read",
    "read_version": "read",
    "write": "write",
    "update": "write",
    "delete": "write",
    "rename": "write",
    "restore": "write",
    "acquire": "write",
    "finish": "write",
    "snapshot": "read",
    "tx_read": "read",
    "tx_commit": "write",
}

#: The descriptions of the metrics.
_UNITS: Final = {"served_tokens": "{token}", "refetch_tokens": "{token}"}


def observe(
    workspace: Workspace, meter: Meter | None = None, *, tracer: Tracer | None = None
) -> None:
    """Register each counter of `workspace`, to be read whenever metrics are collected.

    The counters are those of `Workspace.metrics`, and the tokens that reads have served and that
    refetches would have cost.  With `tracer`, every call of its agents is a span from now on, on
    any thread and task; its parent is the span in whose context the call is made.  Raises
    `EnvironmentFault` if the API of OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import metrics
    except ImportError as error:
        raise EnvironmentFault(
            "OpenTelemetry is not installed", remedy="pip install opentelemetry-api"
        ) from error
    meter = meter or metrics.get_meter("coherence")
    labels = {"coherence.workspace": workspace.identity}
    site = site_of(workspace)

    def figures() -> dict[str, int]:
        return {**workspace.metrics(), **site.guarded(site.homes.accounts.tokens)}

    def reader(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda options: [metrics.Observation(figures()[name], labels)]

    for name in figures():
        callbacks: list[Any] = [reader(name)]
        unit = _UNITS.get(name, "1")
        meter.create_observable_counter(f"coherence.{name}", callbacks=callbacks, unit=unit)
    if tracer is not None:
        site.trace_calls(partial(_Traced, tracer))


class _Traced(Layer):
    """The operations of one agent, each in a span."""

    def __init__(self, tracer: Tracer, agent: BaseAgent, operations: Any) -> None:
        if isinstance(operations, _Traced):  # observed once more: the last tracer counts
            operations = operations.plain
            operations.wait_through(lambda waits: waits.plain)
        super().__init__(operations)
        self._tracer: Tracer = tracer
        session: Session = operations.session
        self._labels = {
            "coherence.agent": agent.name,
            "coherence.workspace": session.shared.identity,
        }
        operations.wait_through(lambda waits: _TracedWaits(waits, self))

    def __getattr__(self, name: str) -> Any:
        made = getattr(self.plain, name)
        return partial(self._call, name, made) if name in SPANS else made

    def _call(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        artifact = _named(name, given)
        labels = {"coherence.call": name, "coherence.artifact": artifact}
        return self.spanned(SPANS[name], labels, made(*given), given[0])

    def spanned(
        self, name: str, labels: dict[str, str], operation: Operation[T], first: Any = None
    ) -> Operation[T]:
        """`operation` in a span of that name, which is the parent of spans within.

        `first` is its first argument: a draft knows its ref after it was published.
        """
        with self._tracer.start_as_current_span(
            f"coherence.{name}", attributes={**self._labels, **labels}
        ) as span:
            try:
                answer = yield from operation
            except Conflict as conflict:
                self._refused(conflict, labels)
                raise
            _describe(span, name, answer if answer is not None else getattr(first, "ref", None))
            return answer

    def _refused(self, conflict: Conflict, labels: dict[str, str]) -> None:
        found: dict[str, Any] = {
            "coherence.base": conflict.base_version,
            "coherence.ref": str(conflict.current),
            "coherence.author": conflict.author,
        }
        self._tracer.start_span(
            "coherence.conflict", attributes={**self._labels, **labels, **found}
        ).end()


class _TracedWaits:
    """How an operation waits, with a span for each wait for an answer."""

    def __init__(self, waits: Any, traced: _Traced) -> None:
        self.plain: Any = waits
        self._traced = traced

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def answer(self, session: Session, asked: Asked) -> Generator[Any, Any, Result]:
        """See `Waits.answer`."""
        labels = {"coherence.artifact": asked.artifact}
        return self._traced.spanned("wait", labels, self.plain.answer(session, asked))


def _named(call: str, given: tuple[Any, ...]) -> str:
    """The artifact that a call is about; several as one text."""
    if call == "tx_read":
        return str(given[1])
    if call == "snapshot":
        names, prefix, _ = given
        if names is None:
            return f"{prefix}*"
        return ", ".join(map(str, names)) if isinstance(names, list | tuple) else str(names)
    return str(getattr(given[0], "name", given[0]))


def _describe(span: Span, name: str, answer: object) -> None:
    """Add what the answer of a call says to its span."""
    if name == "read" and isinstance(answer, View):
        served, whole = prompt_tokens(answer)
        span.set_attribute("coherence.served", str(answer.served))
        span.set_attribute("coherence.tokens", served)
        span.set_attribute("coherence.saved_tokens", whole - served)
    ref = answer.ref if isinstance(answer, View) else answer
    if isinstance(ref, Ref):
        span.set_attribute("coherence.ref", str(ref))
