"""What messages prove: held against a model of what a reader of the messages could know."""

import pytest

pytest.importorskip("autogen_core")

from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    UserMessage,
)
from hypothesis import given
from hypothesis import strategies as st

from coherence import Workspace
from coherence.context import evidence
from coherence.context.answers import shown
from coherence.context.evidence import written
from coherence_autogen.prompt import rewritten, said

HERE = "here"
NAMES = ("plan.md", "notes/a b.md")
# Texts that quote tags, close them, and end in every way.
TEXTS = st.sampled_from(
    [
        "",
        "\n",
        "one\ntwo\n",
        "</artifact>",
        "x\n</artifact>\ny",
        '<artifact ref="plan.md@1" seal="0"/>',
    ]
)


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


@given(data=st.data())
def test_what_is_held_can_be_put_together_and_nothing_current_is_dropped(data):
    """A model of the reader: it knows a version if it was given it whole, or a base and the rest.

    Whatever messages go missing, `survey` claims no more than that, and the rewritten messages
    prove the same as the ones they stand for.
    """
    with Workspace("memory://") as workspace:
        writer, reader = workspace.agent("writer"), workspace.agent("reader")
        messages, facts = [], []
        for _ in range(data.draw(st.integers(1, 8))):
            name = data.draw(st.sampled_from(NAMES))
            if name not in workspace.names() or data.draw(st.booleans()):
                text = data.draw(TEXTS) + "line\n" * data.draw(st.integers(0, 30))
                writer.write(name, text, overwrite=True)
            have = survey(messages, workspace.identity)[0].get(name)
            seen = reader.read(name, have if data.draw(st.booleans()) else None)
            messages.append(result(shown(seen)))
            facts.append((str(seen.ref), str(seen.have or "")))
        kept = data.draw(st.sets(st.sampled_from(range(len(messages)))))
        left = [m for i, m in enumerate(messages) if i in kept]
        known = set()
        for ref, since in (fact for i, fact in enumerate(facts) if i in kept):
            if not since or since in known:
                known.add(ref)
        claimed, notes = survey(left, workspace.identity)
        assert {str(ref) for ref in claimed.values()} <= known
        newest = {}
        for ref in known:
            name, _, version = ref.rpartition("@")
            newest[name] = max(newest.get(name, 0), int(version))
        assert {name: ref.version for name, ref in claimed.items()} == newest
        made = rewritten(left, notes)
        assert survey(made, workspace.identity)[0] == claimed
        for name, ref in claimed.items():
            assert ref.version <= workspace.history(name)[-1].version


def test_a_text_that_is_cut_or_changed_does_not_count(agent):
    agent.write("plan.md", "one\ntwo\nthree\n")
    whole = shown(agent.read("plan.md"))
    assert held(agent, result(whole)) == {"plan.md": "plan.md@1"}
    for spoiled in (
        whole.replace("two", "[...]"),
        whole.replace("two", "owt"),
        whole[:-20],
        whole.replace("plan.md@1", "plan.md@2"),
        whole.replace("plan.md@1", "other.md@1"),
    ):
        assert held(agent, result(spoiled)) == {}
        (left,) = view([result(spoiled)], identity(agent))
        assert "read it again" in left.content[0].content


def test_a_ref_of_another_workspace_does_not_count(agent):
    agent.write("plan.md", "one")
    with Workspace("memory://") as elsewhere:
        elsewhere.agent("ann").write("plan.md", "two")
        foreign = shown(elsewhere.agent("ann").read("plan.md"))
    assert held(agent, result(foreign)) == {}


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


def test_a_text_may_quote_what_it_likes(agent):
    """Else an artifact about this format could never be read."""
    agent.write("other.md", "quoted")
    quote = shown(agent.read("other.md"))
    agent.write("plan.md", f"see {quote}\n</artifact>\nand {quote.replace('quoted', 'altered')}")
    message = result(shown(agent.read("plan.md")))
    assert held(agent, message) == {"plan.md": "plan.md@1"}
    assert view([message], identity(agent)) == [message]


def test_two_stubs_in_one_message_both_give_way(agent):
    for name in ("a.md", "plan.md"):
        agent.write(name, "text")
    stubs = [shown(agent.read(name, f"{name}@1")) for name in ("a.md", "plan.md")]
    broadcast = UserMessage(content="\n".join(stubs), source="bob")
    (left,) = view([broadcast], identity(agent))
    assert "unchanged" not in left.content
    assert left.content.count("read it again") == 2


def test_two_texts_in_one_message_both_count(agent):
    for name in ("a.md", "plan.md"):
        agent.write(name, "text")
    told = [shown(agent.read(name)) for name in ("a.md", "plan.md")]
    broadcast = UserMessage(content="\n".join(told), source="bob")
    assert held(agent, broadcast) == {"a.md": "a.md@1", "plan.md": "plan.md@1"}


def test_nobody_is_sent_to_read_what_he_has_in_a_newer_version(agent):
    agent.write("plan.md", "one")
    stub = result(shown(agent.read("plan.md", "plan.md@1")))
    agent.write("plan.md", "two")
    whole = result(shown(agent.read("plan.md")))
    assert "read it again" in str(view([stub], identity(agent)))
    assert "read it again" not in str(view([stub, whole], identity(agent)))


def test_for_a_prompt_cache_what_is_superseded_may_stay(agent):
    agent.write("plan.md", "one")
    first, lost = (
        result(shown(agent.read("plan.md"))),
        result(shown(agent.read("plan.md", "plan.md@1"))),
    )
    agent.write("plan.md", "two")
    second = result(shown(agent.read("plan.md")))
    assert survey([first, second], identity(agent), drop=False)[1] == {}
    assert len(survey([first, second], identity(agent))[1]) == 1
    assert len(survey([lost], identity(agent), drop=False)[1]) == 1, "what is lost is never left"
