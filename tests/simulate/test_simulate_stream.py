"""The action stream: one for all strategies and rules, kept small, counted right."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from coherence.simulate import paper
from coherence.simulate.result import STRATEGIES
from coherence.simulate.stream import Recording, draw, totals


def test_one_seed_gives_one_stream(make_scenario):
    scenario = make_scenario(steps=30)
    assert list(draw(scenario, 7)) == list(draw(scenario, Random(7)))
    assert list(draw(scenario, 7)) != list(draw(scenario, 8))


def test_actions_come_by_step_then_agent_and_only_what_may_change_is_written(make_scenario):
    artifacts = (
        {"name": "fixed", "size_tokens": 1, "mutable": False},
        {"name": "free", "size_tokens": 1},
    )
    scenario = make_scenario(steps=50, write_probability=1.0, artifacts=artifacts)
    actions = list(draw(scenario, 1))
    assert actions == sorted(actions, key=lambda action: action[:2])
    assert len({action[:2] for action in actions}) == len(actions)
    assert {(artifact, is_write) for _, _, artifact, is_write in actions} == {(0, False), (1, True)}


def test_larger_artifacts_are_chosen_more_often_by_size(make_scenario):
    sizes = ({"name": "a", "size_tokens": 9}, {"name": "b", "size_tokens": 1})
    scenario = make_scenario(steps=400, artifact_choice="by_size", artifacts=sizes)
    chosen = [artifact for _, _, artifact, _ in draw(scenario, 1)]
    assert 0.85 < chosen.count(0) / len(chosen) < 0.95


def test_without_loss_every_strategy_sees_the_same_actions(make_scenario):
    scenario = make_scenario(steps=60)
    expected = list(draw(scenario, 3))
    for strategy in STRATEGIES:
        assert list(paper.run(scenario, strategy, 3, record=True).actions) == expected
        actions = paper.actions(scenario, strategy, 3)
        assert list(actions) == list(actions) == expected  # and may be read twice


def test_with_loss_the_actions_are_those_that_the_paper_model_took(make_scenario):
    scenario = make_scenario(steps=60, loss_probability=0.5)
    lossless = list(draw(scenario, 3))
    taken = list(paper.run(scenario, "lazy", 3, record=True).actions)
    assert taken != lossless
    assert list(paper.actions(scenario, "lazy", 3)) == taken
    assert list(paper.actions(scenario, "broadcast", 3)) == lossless  # it sends no message


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 10**6), st.booleans()
        )
    )
)
def test_a_recording_plays_back_what_went_in(actions):
    recording = Recording()
    for action in actions:
        recording.append(action)
    assert len(recording) == len(actions)
    assert list(recording) == actions


def test_totals_count_needs_by_who_holds_the_current_text(make_scenario):
    scenario = make_scenario()
    read, write = False, True
    actions = [
        (0, 0, 0, read),  # missing
        (0, 1, 0, write),  # missing; outdates agent 0
        (1, 1, 0, read),  # wrote it
        (1, 0, 0, read),  # outdated
        (2, 0, 0, read),  # current
        (2, 2, 1, write),  # missing
        (3, 2, 1, write),  # wrote it
    ]
    found = totals(scenario, actions)
    assert found.reads_per_artifact == (4, 0)
    assert found.writes_per_artifact == (1, 2)
    assert found.opening_reads_per_artifact == (1, 0)
    assert found.opening_writes_per_artifact == (1, 0)
    assert found.needed_per_artifact == (3, 1)
