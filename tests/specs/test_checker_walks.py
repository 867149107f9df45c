"""Random walks, the Hypothesis machine, and replay on the production core."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from message_passing.network import Guarantee
from specs.checker import Model, UsageError, Verdict, always, check
from specs.checker.result import Moment, Path
from specs.checker.simulate import simulate
from specs.checker.stateful import state_machine
from specs.models.teaching import Client, Server, dining, ping
from specs.models.twophase import twophase
from specs.replay import ReplayDiverged, replay
from specs.system import Bounds, System, any_of


def test_a_walk_finds_what_is_wrong():
    result = simulate(twophase(4, hasty=True), walks=2_000, seed=1)
    assert result.verdict is Verdict.VIOLATED
    assert result.finding("consistent").verdict is Verdict.VIOLATED
    model = twophase(4, hasty=True).model()
    path = result.counterexample
    for before, after in zip(path.moments, path.moments[1:], strict=False):
        assert (after.action, after.state) in model.successors(before.state)


def test_walks_prove_nothing():
    result = simulate(twophase(3), walks=50)
    assert result.verdict is Verdict.UNDETERMINED
    assert result.verdict.exit_code == 3
    assert result.distinct <= 288


def test_one_seed_gives_one_set_of_walks():
    one, two = (simulate(dining(4), walks=20, steps=30, seed=5) for _ in range(2))
    assert (one.distinct, one.generated, one.depth) == (two.distinct, two.generated, two.depth)


def test_a_walk_meets_a_deadlock():
    result = simulate(dining(3, polite=False), walks=200, seed=2)
    assert result.verdict is Verdict.VIOLATED
    assert result.deadlock is not None


def test_no_walks_are_refused():
    with pytest.raises(UsageError, match="see nothing"):
        simulate(twophase(3), walks=0)


FEW = settings(
    max_examples=30,
    stateful_step_count=30,
    database=None,
    phases=[Phase.generate, Phase.shrink],
)


@pytest.mark.slow
def test_a_machine_passes_where_the_model_holds():
    run_state_machine_as_test(state_machine(twophase(3)), settings=FEW)
    run_state_machine_as_test(state_machine(ping()), settings=FEW)


def test_a_machine_shrinks_to_a_shortest_path():
    model = Model(
        "counter",
        [0],
        lambda n: [("inc", n + 1), ("reset", 0)],
        [always("below four", lambda n: n < 4)],
    )
    machine = state_machine(model)
    with pytest.raises(AssertionError, match="'below four' is violated in 4") as caught:
        run_state_machine_as_test(machine, settings=FEW)
    assert sum("act(" in note for note in caught.value.__notes__) <= len(
        check(model).counterexample
    )


def system():
    return System(
        {"client": Client(retries=True), "server": Server()},
        Guarantee.ORDERED_LOSSY_DUPLICATING,
        environment={"client": any_of("ping", times=2)},
        bounds=Bounds(in_flight=1, crashes=1, drops=1, duplicates=1),
    )


def test_paths_replay_on_the_production_core():
    made = system()
    never = always("asks twice, after a crash", lambda view: view.local("client").invoked < 2)
    result = check(made.model("ping", [never], terminal=lambda view: True))
    path = result.counterexample
    assert path is not None
    assert len(list(replay(made, path))) == len(path)


def test_walks_replay_on_the_production_core():
    made = system()
    model = made.model("ping", terminal=lambda view: True)
    for seed in range(30):
        seen = []
        long = always("goes on", lambda view, seen=seen: len(seen.append(1) or seen) < 25)
        walk = simulate(
            made.model("ping", [long], terminal=lambda view: True), walks=5, steps=60, seed=seed
        )
        path = walk.counterexample
        assert len(list(replay(made, path))) == len(path)
    assert model.name == "ping"


def test_a_corrupted_path_is_refused_where_it_is_corrupted():
    made = system()
    claim = always("never idle again", lambda view: view.local("client").invoked < 2)
    path = check(made.model("ping", [claim], terminal=lambda view: True)).counterexample
    place = next(i for i, a in enumerate(path.actions) if a.sent)
    moments = list(path.moments)
    wrong = moments[place + 1].action._replace(sent=(("server", "pong"),))
    moments[place + 1] = Moment(wrong, moments[place + 1].state)
    steps = replay(made, Path(tuple(moments)))
    for _ in range(place):
        next(steps)
    with pytest.raises(ReplayDiverged, match="sent"):
        next(steps)
