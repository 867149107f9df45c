"""Counters and calls reach OpenTelemetry's API, and by its own exporters a collector."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from coherence import AsyncWorkspace, Conflict, Workspace
from coherence.runtime import token_counts
from coherence.view import View
from coherence.workspace.workspace import site_of

pytest.importorskip("opentelemetry.metrics")

from coherence.workspace.telemetry import observe

TEXT = "# Plan\n" * 100


@pytest.fixture(autouse=True)
def no_tokenizer(monkeypatch):
    """Whatever is installed here."""
    monkeypatch.setattr(token_counts, "_installed", lambda: View.counter)


def test_every_counter_is_observed():
    made = {}
    meter = SimpleNamespace(
        create_observable_counter=lambda name, callbacks, unit: made.update({name: callbacks})
    )
    with Workspace() as workspace:
        observe(workspace, meter)
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", TEXT)
        bob.read("plan.md", have=bob.read("plan.md").ref)
        seen = {name: callback(None)[0] for name, (callback,) in made.items()}
        assert seen["coherence.writes"].value == 1
        assert seen["coherence.refetch_tokens"].value == 2 * 175
        assert seen["coherence.served_tokens"].value == 175 + 10
        assert seen["coherence.writes"].attributes == {"coherence.workspace": workspace.identity}
        tokens = {"served_tokens", "refetch_tokens"}
        assert {name.removeprefix("coherence.") for name in made} == {*workspace.metrics(), *tokens}


@pytest.fixture
def collected(monkeypatch):
    """A tracer, and the function that returns the finished spans as a tree of names."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)  # tests of CrewAI set it
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter.get_finished_spans


def tree(spans, parent=None):
    """The spans under `parent`: name, without its prefix, and agent -> those below."""
    below = [span for span in spans if (span.parent.span_id if span.parent else None) == parent]
    return [
        (
            span.name.removeprefix("coherence."),
            (span.attributes or {}).get("coherence.agent", ""),
            tree(spans, span.context.span_id),
        )
        for span in sorted(below, key=lambda span: span.start_time)
    ]


def facts(span):
    return {name.removeprefix("coherence."): value for name, value in span.attributes.items()}


def test_calls_are_spans_with_what_they_served_and_saved(collected):
    tracer, finished = collected
    with Workspace() as workspace:
        bob = workspace.agent("bob")  # agents of before are traced too
        observe(workspace, tracer=tracer)
        ann = workspace.agent("ann")
        with tracer.start_as_current_span("turn"):
            ann.write("plan.md", TEXT)
            have = bob.read("plan.md").ref
            assert bob.read("plan.md").served == "hit"
            bob.read("plan.md", have)
            with pytest.raises(Conflict):
                bob.write("plan.md", "mine", expect=0)
            bob.update("plan.md", lambda text: text + ann.read("plan.md").text)
        assert workspace.metrics()["hits"] == 2
    assert tree(finished()) == [
        (
            "turn",
            "",
            [
                ("write", "ann", []),
                ("read", "bob", []),
                ("read", "bob", []),
                ("read", "bob", []),
                ("write", "bob", [("conflict", "bob", [])]),
                ("write", "bob", [("read", "ann", [])]),
            ],
        )
    ]
    reads = [facts(span) for span in finished() if span.name == "coherence.read"]
    assert [(read["served"], read["tokens"], read["saved_tokens"]) for read in reads] == [
        ("full", 175, 0),
        ("hit", 175, 0),
        ("unchanged", 10, 165),
        ("hit", 175, 0),
    ]
    assert reads[0]["ref"] == "plan.md@1"
    assert {read["workspace"] for read in reads} == {workspace.identity}
    (conflict,) = (facts(span) for span in finished() if span.name == "coherence.conflict")
    assert (conflict["base"], conflict["ref"], conflict["author"]) == (0, "plan.md@1", "ann")


def test_transactions_and_snapshots_are_spans(collected):
    tracer, finished = collected
    with Workspace() as workspace:
        observe(workspace, tracer=tracer)
        ann = workspace.agent("ann")
        ann.write("a", "1")
        ann.snapshot(["a", "b"]), ann.snapshot(prefix="a")
        with ann.transaction() as tx:
            tx.read("a")
            tx.write("b", "1"), tx.write("c", "1")
        with pytest.raises(Conflict), ann.transaction() as tx:
            tx.write("b", "2"), tx.write("d", "2")
    spans = [(span.name.removeprefix("coherence."), facts(span)["artifact"]) for span in finished()]
    assert spans == [
        ("write", "a"),
        ("read", "a, b"),
        ("read", "a*"),
        ("read", "a"),
        ("write", "b, c"),
        ("conflict", "b, d"),
        ("write", "b, d"),
    ]


def test_a_wait_of_another_thread_is_a_span_within_its_own_call(collected):
    tracer, finished = collected
    with Workspace() as workspace:
        observe(workspace, tracer=tracer)
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", TEXT)

        def write():
            with tracer.start_as_current_span("of the thread"):
                bob.update("plan.md", lambda text: text + "b")

        waiting = threading.Thread(target=write)
        with ann.edit("plan.md") as draft:
            draft.text += "a"
            waiting.start()
            while not workspace.row("plan.md").row.state.queue:
                pass
        waiting.join()
    assert ("of the thread", "", [("write", "bob", [("wait", "bob", [])])]) in tree(finished())
    published = [facts(span) for span in finished() if span.attributes.get("coherence.ref")]
    assert "plan.md@2" in {each["ref"] for each in published}


def test_tasks_keep_their_spans_apart(collected):
    tracer, finished = collected

    async def one(workspace, name):
        agent = await workspace.agent(name)
        with tracer.start_as_current_span(f"task of {name}"):
            await agent.read("plan.md")
            async with agent.edit("plan.md") as draft:
                await asyncio.sleep(0)
                draft.text += name

    async def main():
        async with AsyncWorkspace() as workspace:
            observe(workspace.sync, tracer=tracer)
            await (await workspace.agent("ann")).write("plan.md", TEXT)
            await asyncio.gather(*(one(workspace, name) for name in ("bob", "cid", "dan")))

    asyncio.run(main())
    roots = {name: below for name, _, below in tree(finished())}
    for name in ("bob", "cid", "dan"):
        below = roots[f"task of {name}"]
        assert {agent for _, agent, _ in below} == {name}
        assert [what for what, _, _ in below] == ["read", "write", "write"]


def test_without_a_tracer_and_with_the_last_of_two_there_is_one_span_at_most(collected):
    tracer, finished = collected
    with Workspace() as workspace:
        observe(workspace)
        ann = workspace.agent("ann")
        ann.write("plan.md", TEXT)
        assert not finished()
        assert ann._quick
        observe(workspace, tracer=tracer)
        observe(workspace, tracer=tracer)
        ann.read("plan.md")
        assert len(finished()) == 1


def test_an_interrupted_call_ends_its_span_and_its_agent_goes_on(collected):
    tracer, finished = collected
    with Workspace() as workspace:
        observe(workspace, tracer=tracer)
        ann = workspace.agent("ann")
        ann.write("plan.md", TEXT)

        def interrupt(text):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ann.update("plan.md", interrupt)
        assert finished()[-1].name == "coherence.write"
        ann.write("plan.md", "on")
        assert not ann._busy


class Collector(ThreadingHTTPServer):
    """Receives what OTLP exporters send over HTTP, as a collector does."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.spans, self.metrics = [], {}


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as of_metrics
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as of_traces

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            for resource in of_traces.ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.server.spans += scope.spans
        else:
            assert self.path == "/v1/metrics"
            for resource in of_metrics.ExportMetricsServiceRequest.FromString(
                body
            ).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        self.server.metrics[metric.name] = metric.sum.data_points[0].as_int
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_a_collector_receives_spans_and_metrics_over_http(monkeypatch):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    server = Collector()
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        traces = TracerProvider()
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{address}/traces")))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{address}/metrics"))
        meters = MeterProvider([reader])
        with Workspace() as workspace:
            observe(workspace, meters.get_meter("test"), tracer=traces.get_tracer("test"))
            ann, bob = workspace.agent("ann"), workspace.agent("bob")
            ann.write("plan.md", TEXT)
            bob.read("plan.md", have=bob.read("plan.md").ref)
            meters.force_flush()
        meters.shutdown()
        traces.shutdown()
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert [span.name for span in server.spans] == ["coherence.write"] + 2 * ["coherence.read"]
    last = {each.key: each.value for each in server.spans[-1].attributes}
    assert last["coherence.saved_tokens"].int_value == 165
    assert last["coherence.served"].string_value == "unchanged"
    assert server.metrics["coherence.served_tokens"] == 185
    assert server.metrics["coherence.fulls"] == 1


def test_the_operations_that_are_traced_exist():
    from coherence.workspace.telemetry import SPANS

    with Workspace() as workspace:
        operations = workspace.agent("ann")._operations
        assert not [name for name in SPANS if not hasattr(operations, name)]
        assert site_of(workspace).sessions["ann"].tracing.traced == []
