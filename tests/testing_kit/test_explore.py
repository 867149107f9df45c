"""What an exploration finds, and what it proves: the planted bugs, and the same programs mended."""

import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import programs
from programs import NAMES

from coherence import Conflict
from coherence.errors import BadArgument
from coherence.testing import (
    BadToken,
    Deadlock,
    ExplorationVerdict,
    ExploredTeam,
    Found,
    LostUpdate,
    Nondeterminism,
    NotSerial,
    StaleDecision,
    explore,
    replay,
)

HERE = Path(__file__).parent

#: program -> what is found, with which settings, and words of the finding.
BUGS = {
    "a dict": (programs.a_dict, LostUpdate, {}, "without having seen notes['plan']@1 by"),
    "a file": (programs.a_file, LostUpdate, {}, "plan.md@0"),
    "overwriting": (programs.overwriting, LostUpdate, {}, "without having seen plan.md@2 by"),
    "overwriting in tasks": (programs.overwriting_in_tasks, LostUpdate, {}, "plan.md@2 by"),
    "crossed drafts": (
        programs.crossed_drafts,
        Deadlock,
        {},
        "ann waits for b, which bob holds; bob waits for a, which ann holds",
    ),
    "crossed drafts in tasks": (
        programs.crossed_drafts_in_tasks,
        Deadlock,
        {},
        "ann waits for b, which bob holds; bob waits for a, which ann holds",
    ),
    "crossed locks": (programs.crossed_locks, Deadlock, {}, "which bob holds; bob waits for lock"),
    "crossed locks in tasks": (
        programs.crossed_locks_in_tasks,
        Deadlock,
        {},
        "which bob holds; bob waits for lock",
    ),
    "write skew, by an assert": (programs.somebody_is_on_duty, AssertionError, {}, "nobody"),
    "write skew, as stale": (
        programs.write_skew,
        StaleDecision,
        {"find": ("stale decision",)},
        "after reading ann.duty@1, which ann had replaced by ann.duty@2",
    ),
    "write skew, as not serial": (
        programs.write_skew,
        NotSerial,
        {"serial": True},
        "('off', 'off') is the outcome of no order",
    ),
}


@pytest.mark.slow(fast=12)
@pytest.mark.parametrize("grain", ["call", "transaction"])
@pytest.mark.parametrize(("program", "kind", "settings", "words"), BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_found_with_few_switches(program, kind, settings, words, grain):
    with pytest.raises(Found) as error:
        explore(program, grain=grain, **settings)
    found = error.value
    assert type(found.cause) is kind
    assert words in str(found.cause)
    assert found.switches <= 2
    assert found.result.schedules <= 100
    assert found.result.verdict is ExplorationVerdict.COUNTEREXAMPLE
    assert found.chart.count("●") >= 4
    assert found.mermaid.startswith("sequenceDiagram")
    assert found.token in str(found)
    settings = {key: value for key, value in settings.items() if key in ("find", "serial")}
    again = replay(program, found.token, raises=False, **settings).found
    assert again is not None
    assert (str(again.cause), again.chart) == (str(found.cause), found.chart)


def test_a_failure_of_an_assert_that_a_lost_update_explains_is_a_lost_update():
    def program(team):
        programs.overwriting(team)
        (text,) = programs.final(team, "plan.md")
        assert sorted(text) == ["a", "b"]

    found = explore(program, raises=False).found
    assert isinstance(found.cause, LostUpdate)
    assert isinstance(found.cause.__cause__, AssertionError)


OURS = {
    "retrying": programs.retrying,
    "updating": programs.updating,
    "updating in tasks": programs.updating_in_tasks,
    "drafting": programs.drafting,
    "drafts in order": programs.drafts_in_order,
    "locks in order": programs.locks_in_order,
}


@pytest.mark.slow(fast=8)
@pytest.mark.parametrize("bound", [2, None])
@pytest.mark.parametrize("grain", ["call", "transaction"])
@pytest.mark.parametrize("program", OURS.values(), ids=OURS)
def test_a_mended_program_is_proved(program, grain, bound):
    result = explore(program, grain=grain, bound=bound, serial=True)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert result.outcomes.keys() == explore(program, bound=None, reduce=False).outcomes.keys()


#: program, grain -> schedules, outcomes.
COUNTS = {
    ("typical", "transaction"): (336, 36),
    ("typical", "call"): (36, 36),
    ("readers", "call"): (225, 225),
    ("apart", "call"): (1, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize(("program", "grain"), COUNTS, ids=str)
def test_counts_of_three_agents_of_four_calls(program, grain):
    result = explore(getattr(programs, program), grain=grain, bound=None, seconds=60)
    assert result.exhaustive
    assert (result.schedules, len(result.outcomes)) == COUNTS[program, grain]
    assert result.cut_short == 0


def test_counts_of_a_dict_with_and_without_reduction():
    for reduce, schedules in ((True, 4), (False, 6)):
        result = explore(programs.a_dict, bound=None, reduce=reduce, find=["error"])
        assert (result.exhaustive, result.schedules) == (True, schedules)
        assert set(result.outcomes) == {"'ab'", "'a'", "'b'"}


@pytest.mark.slow
def test_counts_of_three_agents_that_read_and_write_one_artifact():
    result = explore(programs.hot, bound=None, schedules=20_000, seconds=110)
    assert (result.exhaustive, result.schedules, len(result.outcomes)) == (True, 7_134, 375)


def drawn(rng):
    """A random program of two or three agents, two artifacts and a dict."""
    names = NAMES[: rng.choice((2, 2, 3))]
    most = 3 if len(names) == 2 else 2
    calls = ("read", "write", "update", "edit", "overwrite", "dict", "list")
    plans = {
        name: [(rng.choice(calls), rng.choice("xy")) for _ in range(rng.randint(1, most))]
        for name in names
    }

    def program(team):
        programs.seed(team, "x", "y")
        box = team.shared({"x": "", "y": ""}, "box")
        agents = {name: team.agent(name) for name in names}

        def work(name):
            agent, got = agents[name], []
            for call, at in plans[name]:
                try:
                    if call == "read":
                        got.append(agent.read(at).text)
                    elif call == "write":
                        agent.write(at, agent.read(at).text + name[0])
                    elif call == "overwrite":
                        agent.write(at, name[0], overwrite=True)
                    elif call == "update":
                        agent.update(at, lambda text: text + name[0])
                    elif call == "edit":
                        with agent.edit(at) as draft:
                            draft.text += name[0]
                    elif call == "dict":
                        box[at] = box[at] + name[0]
                    else:
                        got.append(agent.history(at)[-1].version)
                except Conflict:
                    got.append("conflict")
            return tuple(got)

        got = team.run(**{name: lambda name=name: work(name) for name in names})
        return tuple(sorted(got.items())), programs.final(team, "x", "y"), sorted(box.items())

    return program, plans


def compared(programs_wanted, most):
    """How many schedules the reduction has saved over so many random programs."""
    done = saved = 0
    for number in range(10_000):
        program, plans = drawn(random.Random(number))
        grain = ("call", "transaction")[number % 2]
        how = {"grain": grain, "find": ["error"], "bound": None, "seconds": 100, "walks": 0}
        every = explore(program, reduce=False, schedules=most, **how)
        if not every.exhaustive:
            continue
        reduced = explore(program, **how)
        assert reduced.exhaustive, (number, plans)
        assert reduced.outcomes.keys() == every.outcomes.keys(), (number, plans)
        done, saved = done + 1, saved + every.schedules - reduced.schedules
        if done == programs_wanted:
            return saved
    raise AssertionError("too few programs")


@pytest.mark.slow
def test_the_outcomes_of_20_random_programs_are_those_without_reduction():
    assert compared(20, most=200) > 200


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_outcomes_of_200_random_programs_are_those_without_reduction():
    assert compared(200, most=400) > 5_000


def test_a_search_that_ends_early_is_no_proof():
    result = explore(programs.typical, schedules=20, walks=5)
    assert not result.exhaustive
    assert result.verdict is ExplorationVerdict.UNDETERMINED
    assert "NOT exhaustive" in str(result)


def test_a_late_bug_is_found_with_few_switches_first():
    """Trap 10: depth first finds a late bug last."""

    def planted(team):
        agents = programs.seed(team, "plan")

        def work(agent):
            for _ in "123":
                agent.update("plan", lambda text: text + agent.name[0])
            text = agent.read("plan").text
            with suppress(Conflict):
                agent.write("plan", text + agent.name[0], overwrite=agent.name == "ann")

        team.run(**{agent.name: lambda agent=agent: work(agent) for agent in agents})

    found = explore(planted, raises=False).found
    assert isinstance(found.cause, LostUpdate)
    assert found.result.schedules <= 100
    assert found.switches <= 3
    found = explore(planted, bound=None, schedules=1, walks=100, raises=False).found
    assert found is None or found.switches <= 9


@pytest.mark.slow
def test_a_token_plays_in_another_process_under_any_hash_seed():
    found = explore(programs.overwriting, raises=False).found
    code = (
        "import programs; from coherence.testing import replay; "
        f"print(replay(programs.overwriting, {found.token!r}, raises=False).found.cause)"
    )
    for seed in ("0", "1", "4711"):
        path = os.pathsep.join([str(HERE), *sys.path])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout.strip() == str(found.cause), done.stderr


@pytest.mark.slow
def test_three_explorations_count_the_same():
    counts = {explore(programs.typical, bound=None).schedules for _ in range(3)}
    assert counts == {36}


@pytest.mark.parametrize("token", ["", "ann*x", "[once] ann", "[kill/x/ann] ann", "dan ann"])
def test_a_token_that_plays_nothing_says_so(token):
    with pytest.raises(BadToken):
        replay(programs.updating, token)


def test_a_program_that_is_not_deterministic_is_named():
    turn = []

    def program(team):
        turn.append(1)
        ann, bob, _ = programs.seed(team, "a", "b")

        def work(agent):
            name = "a" if len(turn) % 3 else "b"
            agent.write(name, agent.read(name).text + "x", overwrite=True)

        team.run(ann=lambda: work(ann), bob=lambda: work(bob))

    with pytest.raises(Nondeterminism, match=r"now they are at: ann \(read b\)"):
        explore(program, find=["error"])


def test_an_invariant_is_checked_after_each_move():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        row = team.workspace.row

        def check():
            assert row("plan").row.state.version < 3, "the third version"

        team.always(check)
        team.run(
            ann=lambda: ann.update("plan", lambda text: text + "a"),
            bob=lambda: bob.update("plan", lambda text: text + "b"),
        )

    with pytest.raises(Found, match="the third version") as found:
        explore(program)
    assert found.value.chart.count("●") == 2


def test_an_error_of_an_agent_is_found():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")

        def work():
            text = ann.read("plan").text
            ann.write("plan", text + "a")

        team.run(ann=work, bob=lambda: bob.update("plan", lambda text: text + "b"))

    with pytest.raises(Found) as found:
        explore(program)
    assert isinstance(found.value.cause, Conflict)


def test_wrong_arguments_are_refused():
    with pytest.raises(BadArgument):
        explore(programs.updating, find=["races"])
    with pytest.raises(BadArgument):
        explore(programs.updating, grain="line")
    with pytest.raises(Found, match="no agents"):
        explore(lambda team: team.run())
    with pytest.raises(Found, match="calls run"):
        explore(lambda team: team.run(ann=lambda: team.run(bob=lambda: None)))


def test_sqlite_with_a_workspace_for_each_agent_has_the_outcomes_of_memory(tmp_path):
    runs = []

    def program(team, opened):
        names = iter(range(10))
        agents = {}
        for name in ("init", "ann", "bob"):
            agents[name] = opened(team, next(names)).agent(name)
        agents["init"].write("plan", "")

        def draft(agent):
            with agent.edit("plan") as mine:
                mine.text += agent.name[0]

        ann, bob = agents["ann"], agents["bob"]
        team.run(
            ann=lambda: draft(ann),
            bob=lambda: (draft(bob), bob.update("plan", lambda text: text + "!")),
        )
        return agents["init"].read("plan").text

    def on_sqlite(team):
        runs.append(1)
        url = f"sqlite:///{tmp_path}/{len(runs)}.db"
        return program(team, lambda team, _: team.open(url))

    memory = explore(lambda team: program(team, lambda team, _: team.workspace), bound=None)
    sqlite = explore(on_sqlite, bound=None, seconds=60)
    assert memory.verdict is sqlite.verdict is ExplorationVerdict.PROOF
    assert memory.outcomes.keys() == sqlite.outcomes.keys()


def prepared(team):
    team.agent("init").write("plan", "")


def test_the_short_form_gives_each_function_its_agent():
    def add(agent):
        agent.update("plan", lambda text: text + agent.name[0])

    def check(team):
        (text,) = programs.final(team, "plan")
        assert sorted(text) == ["a", "b"]
        return text

    result = explore(prepared, {"ann": add, "bob": add}, check)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'ab'", "'ba'"}


def test_the_short_form_takes_coroutine_functions():
    async def add(agent):
        text = (await agent.read("plan")).text
        await agent.write("plan", text + agent.name[0], overwrite=True)

    agents = {"ann": add, "bob": add}
    found = explore(prepared, agents, raises=False).found
    assert isinstance(found.cause, LostUpdate)
    again = replay(prepared, found.token, agents, raises=False).found
    assert str(again.cause) == str(found.cause)


def test_errors_that_are_not_looked_for_are_outcomes():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")

        def add(agent):
            agent.write("plan", agent.read("plan").text + agent.name[0])

        team.run(ann=lambda: add(ann), bob=lambda: add(bob))
        return "kept"

    result = explore(program, find=["lost update", "deadlock"])
    assert result.verdict is ExplorationVerdict.PROOF
    assert any(outcome.startswith("Conflict") for outcome in result.outcomes)


def test_one_exploration_at_a_time():
    def program(team):
        explore(programs.updating)

    with pytest.raises(Found, match="explored already"):
        explore(program)


def adding(block):
    """Each of two agents adds to a number beside the workspace, within `block`."""

    def program(team):
        accounts, lock = {"all": 0}, threading.Lock()

        def add():
            with block(team, "accounts"), lock:
                before = accounts["all"]
                team.agent("clerk").update("log.md", lambda text: text + "added\n")
                team.think()
                accounts["all"] = before + 1

        team.agent("clerk").write("log.md", "")
        team.run(ann=add, bob=add)
        return accounts["all"]

    return program


def test_a_step_of_another_process_is_one_move():
    whole = explore(adding(ExploredTeam.one_move), bound=None)
    assert (whole.verdict, whole.schedules) == (ExplorationVerdict.PROOF, 2)
    assert set(whole.outcomes) == {"2"}
    apart = explore(adding(lambda *_: nullcontext()), bound=None, find=())
    assert apart.schedules > 2


def test_what_is_done_in_two_such_steps_can_be_lost():
    def program(team):
        accounts = {"all": 0}

        def add():
            with team.one_move("accounts"):
                before = accounts["all"]
            with team.one_move("accounts"):
                accounts["all"] = before + 1

        team.run(ann=add, bob=add)

    found = explore(program, raises=False).found
    assert isinstance(found.cause, LostUpdate)


def test_a_deadlock_of_a_lock_and_a_grant_is_named():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        lock = threading.Lock()

        def first():
            with lock, ann.edit("plan") as draft:
                draft.text += "a"

        def second():
            with bob.edit("plan") as draft, lock:
                draft.text += "b"

        team.run(ann=first, bob=second)

    with pytest.raises(Found) as found:
        explore(program)
    assert isinstance(found.value.cause, Deadlock)
    assert "ann waits for plan, which bob holds; bob waits for lock 1 of" in str(found.value)


@pytest.mark.slow
def test_an_interrupt_of_the_program_ends_every_agent():
    def program(team):
        ann, _, _ = programs.seed(team, "plan")

        def work():
            ann.read("plan")
            signal.raise_signal(signal.SIGINT)
            while True:
                ann.read("plan")

        team.run(ann=work, bob=lambda: team.agent("bob").read("plan"))

    with pytest.raises(KeyboardInterrupt):
        explore(program)
    assert explore(programs.updating).verdict is ExplorationVerdict.PROOF
