"""What a conversation proves: held against a model of what its reader could know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence import Ref, Workspace
from coherence.context import evidence
from coherence.context.calls import claim
from coherence.context.evidence import Evidence, Said, mentioned, shown, survey, written

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


@pytest.fixture
def agent():
    with Workspace("memory://") as workspace:
        yield workspace.agent("ann")


def where(agent):
    return agent.read("plan.md").ref.workspace


def spoken(*texts):
    return [Said(place, text) for place, text in enumerate(texts)]


def held(agent, *said):
    return {name: str(ref) for name, ref in survey(said, where(agent))[0].items()}


def noted(said, notes):
    """The conversation with the notes where they belong."""
    made = dict(enumerate(said))
    for (place, old), new in notes.items():
        text = made[place].text.replace(old, new) if old else new
        made[place] = made[place]._replace(text=text)
    return list(made.values())


@pytest.mark.slow
@given(data=st.data())
def test_what_is_held_can_be_put_together_and_nothing_current_is_dropped(data):
    """A model of the reader: it knows a version if it was given it whole, or a base and the rest.

    Whatever texts go missing, `survey` claims no more than that, and a conversation with the notes
    in it proves the same as the one they were made for.
    """
    with Workspace("memory://") as workspace:
        writer, reader = workspace.agent("writer"), workspace.agent("reader")
        said, facts = [], []
        for _ in range(data.draw(st.integers(1, 8))):
            name = data.draw(st.sampled_from(NAMES))
            if name not in workspace.names() or data.draw(st.booleans()):
                text = data.draw(TEXTS) + "line\n" * data.draw(st.integers(0, 30))
                writer.write(name, text, overwrite=True)
            have = survey(said, workspace.identity)[0].get(name)
            seen = reader.read(name, have if data.draw(st.booleans()) else None)
            said.append(Said(len(said), shown(seen)))
            facts.append((str(seen.ref), str(seen.have or "")))
        kept = data.draw(st.sets(st.sampled_from(range(len(said)))))
        left = [each._replace(place=i) for i, each in enumerate(said[k] for k in sorted(kept))]
        known = set()
        for ref, since in (fact for i, fact in enumerate(facts) if i in kept):
            if not since or since in known:
                known.add(ref)
        claimed, notes = survey(left, workspace.identity)
        assert {str(ref) for ref in claimed.values()} <= known
        newest = {}
        for ref in map(Ref.parse, known):
            newest[ref.name] = max(newest.get(ref.name, 0), ref.version)
        assert {name: ref.version for name, ref in claimed.items()} == newest
        assert survey(noted(left, notes), workspace.identity)[0] == claimed


def test_a_text_that_is_cut_or_changed_does_not_count(agent):
    agent.write("plan.md", "one\ntwo\nthree\n")
    whole = shown(agent.read("plan.md"))
    assert held(agent, Said(0, whole)) == {"plan.md": "plan.md@1"}
    for spoiled in (
        whole.replace("two", "[...]"),
        whole.replace("two", "owt"),
        whole[:-20],
        whole.replace("plan.md@1", "plan.md@2"),
        whole.replace("plan.md@1", "other.md@1"),
        whole.replace("plan.md@1", "no ref"),
    ):
        assert held(agent, Said(0, spoiled)) == {}


def test_what_is_torn_gives_way_to_a_remark(agent):
    agent.write("plan.md", "one\ntwo\n")
    said = spoken(shown(agent.read("plan.md")).replace("two", "owt"))
    (left,) = noted(said, survey(said, where(agent))[1])
    assert "[plan.md@1 is not in this conversation: read it again]" in left.text


def test_a_ref_of_another_workspace_does_not_count(agent):
    agent.write("plan.md", "one")
    with Workspace("memory://") as elsewhere:
        elsewhere.agent("ann").write("plan.md", "two")
        foreign = shown(elsewhere.agent("ann").read("plan.md"))
    assert held(agent, Said(0, foreign)) == {}


def test_what_was_written_counts_while_the_call_is_there(agent):
    ref = agent.write("plan.md", 'a "quoted" text\n')
    wrote, told = (
        Said(0, 'a "quoted" text\n', given=True),
        Said(1, written(ref, 'a "quoted" text\n')),
    )
    assert held(agent, wrote, told) == {"plan.md": "plan.md@1"}
    assert held(agent, told) == {}
    assert held(agent, told, wrote) == {}, "it was given after it was said to be written"
    assert held(agent, wrote._replace(text="something else"), told) == {}
    assert held(agent, wrote._replace(given=False), told) == {}


def test_the_text_of_a_call_is_superseded_too(agent):
    wrote = Said(0, "one\n", given=True)
    told = Said(1, written(agent.write("plan.md", "one\n"), "one\n"))
    agent.write("plan.md", "two\n")
    said = [wrote, told, Said(2, shown(agent.read("plan.md")))]
    assert survey(said, where(agent))[1] == {(0, ""): "[plan.md@1 is superseded]"}
    assert survey(said, where(agent), drop=False)[1] == {}


def test_a_text_may_quote_what_it_likes(agent):
    """Else an artifact about this format could never be read."""
    agent.write("other.md", "quoted")
    quote = shown(agent.read("other.md"))
    agent.write("plan.md", f"see {quote}\n</artifact>\nand {quote.replace('quoted', 'altered')}")
    said = spoken(shown(agent.read("plan.md")))
    assert held(agent, *said) == {"plan.md": "plan.md@1"}
    assert survey(said, where(agent))[1] == {}


def test_two_passages_of_one_text_are_two(agent):
    for name in ("a.md", "plan.md"):
        agent.write(name, "text")
    whole = Said(0, "\n".join(shown(agent.read(name)) for name in ("a.md", "plan.md")))
    assert held(agent, whole) == {"a.md": "a.md@1", "plan.md": "plan.md@1"}
    names = ("a.md", "plan.md")
    stubs = spoken("\n".join(shown(agent.read(name, f"{name}@1")) for name in names))
    (left,) = noted(stubs, survey(stubs, where(agent))[1])
    assert left.text.count("read it again") == 2


def test_nobody_is_sent_to_read_what_he_has_in_a_newer_version(agent):
    agent.write("plan.md", "one")
    stub = shown(agent.read("plan.md", "plan.md@1"))
    agent.write("plan.md", "two")
    whole = shown(agent.read("plan.md"))
    assert len(survey(spoken(stub), where(agent))[1]) == 1
    assert survey(spoken(stub, whole), where(agent))[1] == {}


def test_claims_beside_a_text_are_weighed_as_those_in_it(agent):
    ref = agent.write("plan.md", "one")
    said = claim(ref, None, "the whole")
    weighed = Evidence(where(agent))
    for texts in ([], ["something else"], ["not", "it"]):
        weighed.weigh_claim(said, 0, texts)
    for stranger in (None, "a text", {"ref": "plan.md@1"}):
        weighed.weigh_claim(stranger, 0, ["the whole"])
    assert weighed.held == {}
    weighed.weigh_claim(said, 0, [7, "the whole"])
    assert weighed.held == {"plan.md": ref}


def test_what_was_mentioned_is_the_newest_of_what_was_shown_in_part_or_whole(agent):
    texts = ['<artifact ref="a@2" ', '<artifact ref="a@10">', '<artifact ref="no">', "b@3"]
    assert {name: str(ref) for name, ref in mentioned(texts).items()} == {"a": "a@10"}


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ('{"text": "a"}', ["a"]),
        ('{"name": "a"}', []),
        ("[1]", []),
        ("}", []),
        ('{"text": 7}', ["7"]),
        ('{"artifacts": [{"name": "a", "text": "b"}, {"text": "c"}]}', ["b", "c"]),
        ('{"artifacts": ["a"]}', []),
        ('{"artifacts": 7}', []),
    ],
)
def test_what_a_model_gave_is_read_from_its_call(arguments, texts):
    assert evidence.given(arguments) == texts


def test_one_of_several_texts_of_a_call_is_given_anew():
    made = evidence.given_anew('{"artifacts": [{"text": "a"}, {"text": "b"}]}', "note", 1)
    assert evidence.given(made) == ["a", "note"]


def test_several_claims_about_one_message_are_weighed_each(agent):
    agent.write("plan.md", "")
    refs = [Ref(name, 1, where(agent)) for name in ("a.md", "b.md")]
    claims = [claim(refs[0], None, "one"), claim(refs[1], None, "other")]
    weighed = Evidence(where(agent))
    weighed.weigh_claim(claims, 0, ["one", "two"])
    assert weighed.held == {"a.md": refs[0]}
