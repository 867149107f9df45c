"""Calls: the recorded actions, grouped, with contents and cuts of their own."""

from itertools import repeat

from coherence.simulate import catalogue
from coherence.simulate.experiments.workload import Turn, grouped, of_scenario
from coherence.simulate.stream import draw


def test_the_actions_are_those_of_the_simulation():
    scenario = catalogue.find("churn")
    workload = of_scenario(scenario, 7)
    played = [
        (turn.step, turn.agent, artifact, is_write)
        for turn in workload.turns
        for artifact, is_write in turn.accesses
    ]
    assert played == list(draw(scenario, 7))
    assert not any(turn.is_cut for turn in workload.turns)


def test_the_actions_of_an_agent_in_a_step_are_one_call():
    actions = [
        (0, 0, 3, False),
        (0, 0, 4, False),
        (0, 0, 3, True),
        (0, 1, 3, False),
        (1, 1, 3, True),
    ]
    assert list(grouped(actions, repeat(True))) == [
        Turn(0, 0, ((3, True), (4, False)), False),
        Turn(0, 1, ((3, False),), False),
        Turn(1, 1, ((3, True),), True),
    ]


def test_cuts_change_neither_actions_nor_contents():
    scenario = catalogue.find("planning")
    whole, cut = of_scenario(scenario, 7), of_scenario(scenario, 7, cuts=0.2)
    assert [turn._replace(is_cut=False) for turn in cut.turns] == list(whole.turns)
    assert 0.1 < sum(turn.is_cut for turn in cut.turns) / len(cut.turns) < 0.3
    assert whole.contents.edit(0, 2) == cut.contents.edit(0, 2)


def test_every_write_has_an_edit():
    workload = of_scenario(catalogue.find("write-heavy"), 3)
    versions = [1] * workload.artifacts
    for turn in workload.turns:
        for artifact, is_write in turn.accesses:
            if is_write:
                versions[artifact] += 1
                assert workload.contents.edit(artifact, versions[artifact]) >= 1
    assert min(versions) > 100
