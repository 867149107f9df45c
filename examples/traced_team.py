"""The calls of a team as spans, sent to a collector by OTLP over HTTP, or printed as a tree.

pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
python examples/traced_team.py                                    # prints the tree
python examples/traced_team.py http://127.0.0.1:4318/v1/traces    # sends it to a collector
"""

import sys
import threading

from coherence import Conflict, Workspace
from coherence.workspace.telemetry import observe

try:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    if len(sys.argv) > 1:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
except ImportError as error:
    sys.exit(f"{error}: pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http")

kept = InMemorySpanExporter()
provider = TracerProvider(resource=Resource({"service.name": "team"}))
provider.add_span_processor(SimpleSpanProcessor(kept))
if len(sys.argv) > 1:
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(sys.argv[1])))
tracer = provider.get_tracer("example")

workspace = Workspace()
observe(workspace, tracer=tracer)
planner, coder = workspace.agent("planner"), workspace.agent("coder")
planner.write("plan.md", "- a step\n" * 200)
have = planner.read("plan.md").ref


def change() -> None:
    """The coder changes the plan, in a thread of its own."""
    with tracer.start_as_current_span("turn of coder"):
        coder.update("plan.md", lambda text: text + "- done by coder\n")


with tracer.start_as_current_span("turn of planner"):
    with planner.edit("plan.md") as draft:  # the planner thinks, and the coder's update waits
        coding = threading.Thread(target=change)
        coding.start()
        while not draft.awaited:
            pass
        draft.text += "- one more step\n"
    coding.join()
    planner.read("plan.md", have)
    planner.read("plan.md", planner.read("plan.md").ref)
    try:
        planner.write("plan.md", "an old idea", expect=have)
    except Conflict as conflict:
        planner.write("plan.md", conflict.theirs or "", expect=conflict.current)
workspace.close()

SHOWN = ("agent", "call", "ref", "served", "tokens", "saved_tokens", "base", "author")


def show(parent: int | None, depth: int) -> None:
    """Print the spans below `parent`."""
    for span in sorted(kept.get_finished_spans(), key=lambda span: span.start_time or 0):
        if (span.parent.span_id if span.parent else None) == parent:
            facts = span.attributes or {}
            said = [
                f"{each}={facts[key]}" for each in SHOWN if (key := f"coherence.{each}") in facts
            ]
            print("  " * depth + span.name, *said)
            show(span.context.span_id, depth + 1)


show(None, 0)
provider.shutdown()
