"""Messages of AutoGen as evidence, and notes put in their places."""

import pytest

pytest.importorskip("autogen_core")

from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    UserMessage,
)

from coherence import Workspace
from coherence.context import evidence
from coherence.context.evidence import shown, written
from coherence_autogen.prompt import rewritten, said


def survey(messages, workspace, **settings):
    return evidence.survey(said(messages), workspace, **settings)


def result(content, call_id="c", name="read_artifact"):
    part = FunctionExecutionResult(content=content, name=name, call_id=call_id)
    return FunctionExecutionResultMessage(content=[part])


def call(text, call_id="c"):
    arguments = f'{{"name": "plan.md", "text": {text}}}'
    part = FunctionCall(call_id, arguments, "write_artifact")
    return AssistantMessage(content=[part], source="me")


@pytest.fixture
def agent():
    with Workspace("memory://") as workspace:
        yield workspace.agent("ann")


def identity(agent):
    return agent.read("plan.md").ref.workspace


def held(agent, *messages):
    return {name: str(ref) for name, ref in survey(messages, identity(agent))[0].items()}


def view(messages, where):
    return rewritten(messages, survey(messages, where)[1])


def test_what_was_written_counts_while_the_call_is_there(agent):
    ref = agent.write("plan.md", 'a "quoted" text\n')
    wrote, told = call(r'"a \"quoted\" text\n"'), result(written(ref, 'a "quoted" text\n'))
    assert held(agent, wrote, told) == {"plan.md": "plan.md@1"}
    assert held(agent, told) == {}
    assert held(agent, call('"something else"'), told) == {}
    assert held(agent, call("}"), told) == {}, "a call that is no JSON"


def test_a_superseded_text_gives_way_wherever_it_is(agent):
    ref = agent.write("plan.md", "a\n" * 50)
    messages = [call(f'"{"a" + chr(92) + "n"}"'.replace('"a', '"' + r"a\n" * 49 + "a"))]
    messages.append(result(written(ref, "a\n" * 50)))
    agent.write("plan.md", "b\n" * 50)
    told = UserMessage(content=f"look: {shown(agent.read('plan.md'))} - so there", source="bob")
    messages.append(told)
    agent.write("plan.md", "c\n" * 50)
    messages.append(result(shown(agent.read("plan.md"))))
    before = [message.model_copy(deep=True) for message in messages]
    first, _, third, fourth = view(messages, identity(agent))
    assert messages == before, "the originals stay"
    assert first.content[0].arguments == '{"name":"plan.md","text":"[plan.md@1 is superseded]"}'
    assert third.content == "look: [plan.md@2 is superseded] - so there"
    assert fourth == messages[-1]


def test_two_stubs_in_one_message_both_give_way(agent):
    for name in ("a.md", "plan.md"):
        agent.write(name, "text")
    stubs = [shown(agent.read(name, f"{name}@1")) for name in ("a.md", "plan.md")]
    broadcast = UserMessage(content="\n".join(stubs), source="bob")
    (left,) = view([broadcast], identity(agent))
    assert "unchanged" not in left.content
    assert left.content.count("read it again") == 2
