"""What is asked for: files, axes, fixed keys, baselines, and what is wrong with them."""

from pathlib import Path

import pytest

from coherence.simulate.errors import (
    InvalidPrices,
    InvalidScenario,
    InvalidSweep,
    UnknownChoice,
    UnknownPrices,
    UnknownScenario,
)
from coherence.simulate.sweeps import requests
from coherence.simulate.sweeps.requests import Request, axis, parse, read, setting

FILE = """\
scenario = "churn"
steps = 20
seeds = 4
against = "slot_tail"
[over]
agents = [2, 4]
loss_probability = [0, 0.2]
strategy = ["lazy", "adaptive"]
"""


def asked(text, **changes):
    return parse(text, "x.toml", changes=Request(**changes))


# Grids


def test_a_file_gives_every_combination_in_its_order():
    sweep = parse(FILE, "x.toml")
    assert [tuple(point.settings.items())[2:] for point in sweep.points] == [
        (("agents", agents), ("loss_probability", loss)) for agents in (2, 4) for loss in (0, 0.2)
    ]
    assert [(point.scenario.agents, point.scenario.loss_probability) for point in sweep.points] == [
        (2, 0.0),
        (2, 0.2),
        (4, 0.0),
        (4, 0.2),
    ]
    assert {point.scenario.steps for point in sweep.points} == {20}
    assert {point.settings["scenario"] for point in sweep.points} == {"churn"}
    assert sweep.strategies == ("lazy", "adaptive")
    assert sweep.seeds == 4
    assert sweep.against == ("strategy", "slot_tail")


def test_a_change_replaces_what_the_file_says():
    sweep = asked(FILE, over={"steps": [10, 30]}, fixed={"agents": 3, "seeds": 2})
    assert list(sweep.over) == ["loss_probability", "strategy", "steps"]
    assert {point.scenario.agents for point in sweep.points} == {3}
    assert len(sweep.points) == 4
    assert sweep.seeds == 2


def test_what_is_not_given_has_a_default():
    sweep = read(None, Request(over={"agents": [2]}))
    (point,) = sweep.points
    assert point.settings == {"scenario": "planning", "prices": "claude-opus-5", "agents": 2}
    assert sweep.strategies == requests.DEFAULT_STRATEGIES
    assert sweep.against == ("strategy", "conditional_get")
    assert sweep.seeds == 10
    assert point.scenario.first_seed == 20260305
    assert point.cuts == 0


def test_every_kind_of_key_can_be_an_axis():
    sweep = asked(
        "[over]\n"
        'scenario = ["planning", "churn"]\nprices = ["none", "claude-opus-5"]\ncuts = [0, 0.5]\n'
        "system_tokens = [10, 20]\nstep_s = [0, 2]\nsize_tokens = [100]\nartifacts = [2, 3]\n"
        'context = ["pointer"]\n',
        fixed={"first_seed": 5},
    )
    assert len(sweep.points) == 2**6
    last = sweep.points[-1]
    assert last.scenario.name == "churn"
    assert last.prices.name == "claude-opus-5"
    assert (last.cuts, last.prompting.system_tokens, last.prompting.step_s) == (0.5, 20, 2.0)
    assert last.scenario.sizes_tokens == (100, 100, 100)
    assert last.scenario.first_seed == 5


def test_a_value_that_occurs_twice_is_one():
    assert len(asked("[over]\nagents = [2, 2, 3]").points) == 2


def test_files_are_looked_for_beside_the_sweep(tmp_path):
    (tmp_path / "team.toml").write_text(
        'name = "team"\nagents = 2\nsteps = 3\naction_probability = 1\nwrite_probability = 0\n'
        '[[artifacts]]\nname = "a"\nsize_tokens = 7\n'
    )
    (tmp_path / "mine.toml").write_text(
        '[one]\ncached=1\nwrite=1\noutput=5\nmatch="steps"\nsource="x"\n'
        '[two]\ncached=0\nwrite=1\noutput=5\nmatch="steps"\nsource="x"\n'
    )
    (tmp_path / "sweep.toml").write_text(
        'scenario = "team.toml"\n[over]\nprices = ["mine.toml", "none"]'
    )
    sweep = read(tmp_path / "sweep.toml")
    assert sweep.over["prices"] == ("one", "two", "none")
    assert sweep.points[0].scenario.sizes_tokens == (7,)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("agents=2,4", ("agents", [2, 4])),
        ("loss_probability = 0, 1e-2", ("loss_probability", [0, 0.01])),
        ("strategy=lazy,adaptive", ("strategy", ["lazy", "adaptive"])),
        ('prices=["a,b.toml", "none"]', ("prices", ["a,b.toml", "none"])),
    ],
)
def test_axes_of_the_command_line(text, found):
    assert axis(text) == found


def test_a_setting_of_the_command_line():
    assert setting("steps=20") == ("steps", 20)
    assert setting("scenario=churn") == ("scenario", "churn")


# Baselines


def test_a_baseline_can_be_a_value_of_an_axis():
    sweep = asked(FILE, fixed={"against": "loss_probability=0.0"})
    assert sweep.against == ("loss_probability", 0)
    assert asked(FILE, fixed={"against": "strategy=lazy"}).against == ("strategy", "lazy")


@pytest.mark.parametrize("against", ["loss_probability=0.5", "steps=20", "scenario=churn"])
def test_a_baseline_that_is_nowhere_in_the_grid_is_refused(against):
    with pytest.raises(InvalidSweep, match="such as agents=2"):
        asked(FILE, fixed={"against": against})


# Faults


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no axis: nothing is varied"),
        ("agents = 2", "no axis"),
        ("over = 3", r"over: should be a table, \[over\], of lists"),
        ("[over]\nagnets = [2]", "agnets: unknown key, did you mean 'agents'"),
        ("stepps = 2\n[over]\nagents = [2]", "stepps: unknown key, did you mean 'steps'"),
        ("seads = 2\n[over]\nagents = [2]", "seads: unknown key, did you mean 'seeds'"),
        ("[over]\nseeds = [2]", "seeds: unknown key"),
        ("[over]\naccess_count_max = [2]", "access_count_max: unknown key"),
        ("[over]\nagents = 2", "over.agents: should be a list"),
        ("[over]\nagents = []", "over.agents: should be a list"),
        ("[over]\nagents = [[2]]", "agents: should be a number or a word"),
        ("agents = 2\n[over]\nagents = [2]", "agents: is fixed and in"),
        ("seeds = 0\n[over]\nagents = [2]", "seeds=0: should be a whole number from 1"),
        ("seeds = true\n[over]\nagents = [2]", "seeds=True: should be a whole"),
        ("first_seed = -1\n[over]\nagents = [2]", "first_seed=-1: should be"),
        ("[over]\ncuts = [0, 2]", "cuts=2: should be a number from 0 to 1"),
        ("[over]\ncuts = [nan]", "cuts=nan: should be a number"),
        ("[over]\nsystem_tokens = [0.5]", "system_tokens=0.5: should be a whole number"),
        ("[over]\nstep_s = [inf]", "step_s=inf: should be a number"),
        ("[[artifacts]]\nname = 'a'\n[over]\nagents = [2]", "belongs in a scenario's file"),
        ("not toml", "not a TOML file"),
        (f"seeds = 100000\n[over]\nagents = {list(range(1, 200))}", "allowed are 100,000 points"),
    ],
)
def test_what_is_no_grid_is_refused(text, message):
    with pytest.raises(InvalidSweep, match=message) as caught:
        parse(text, "x.toml")
    assert str(caught.value).startswith("x.toml:")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[over]\nagents = [2, 0]", InvalidScenario, "x.toml: agents=0: agents: should be"),
        ("[over]\nloss_probability = [2]", InvalidScenario, "loss_probability: should be"),
        ("[over]\nsize_tokens = [0]", InvalidScenario, "allowed are sizes of 1 to"),
        ("[over]\nartifacts = [0]", InvalidScenario, "allowed are 1 to"),
        ("[over]\nscenario = ['plannning']", UnknownScenario, "did you mean 'planning'"),
        ("[over]\nstrategy = ['adative']", UnknownChoice, "did you mean 'adaptive'"),
        ("against = 'lazzy'\n[over]\nagents = [2]", UnknownChoice, "did you mean 'lazy'"),
        ("[over]\nprices = ['gpt-6-sole']", UnknownPrices, "did you mean"),
    ],
)
def test_what_is_no_point_is_refused_before_anything_is_run(text, kind, message):
    with pytest.raises(kind, match=message):
        parse(text, "x.toml")


def test_two_price_models_of_one_name_are_refused(tmp_path):
    own = '[none]\ncached=1\nwrite=2\noutput=5\nmatch="steps"\nsource="x"\n'
    (tmp_path / "mine.toml").write_text(own)
    with pytest.raises(InvalidPrices, match="rename one"):
        parse('[over]\nprices = ["none", "mine.toml"]', "x.toml", tmp_path)


@pytest.mark.parametrize("text", ["agents", "agents=", "=2", "agents=[2"])
def test_an_axis_that_is_none_is_refused(text):
    with pytest.raises(InvalidSweep, match="--over"):
        axis(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidSweep, match=r"nowhere.toml: cannot be read"):
        read(tmp_path / "nowhere.toml")
    with pytest.raises(InvalidSweep, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(InvalidSweep, match="not a TOML file"):
        read(tmp_path / "x.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (requests.FILE_BYTES_MAX + 1))
    with pytest.raises(InvalidSweep, match="larger than"):
        read(tmp_path / "large.toml")


# What is shipped

SHIPPED = sorted((Path(__file__).parents[2] / "simulations" / "sweeps").glob("*.toml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_is_shipped_is_a_sweep_that_says_what_it_is_for(file):
    sweep = read(file)
    assert len(sweep.points) > 1
    assert file.read_text().startswith("# ")


def test_a_sweep_is_shipped():
    assert [file.stem for file in SHIPPED] == ["network-and-team"]
