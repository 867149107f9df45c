"""Scenario files: what is accepted, and what is told about what is not."""

from pathlib import Path

import pytest

from coherence.simulate import catalogue
from coherence.simulate.errors import InvalidScenario, UnknownScenario
from coherence.simulate.scenario import Scenario, parse
from message_passing.errors import CallerError

VALID = """\
# A comment.
name = "mine"
agents = 3
steps = 10
action_probability = 0.5
write_probability = 0
[[artifacts]]
name = "plan.md"
size_tokens = 100
"""


def test_defaults_are_those_of_the_canonical_scenarios():
    mine = parse(VALID, "mine.toml")
    canonical = catalogue.find("planning")
    for key in Scenario.model_fields:
        if key not in VALID and key not in ("first_seed", "artifacts"):
            assert getattr(mine, key) == getattr(canonical, key), key
    assert mine.artifacts[0].mutable


def test_an_integer_is_a_probability_too():
    assert parse(VALID, "mine.toml").write_probability == 0.0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("agents = 3", "agents = 0", "agents: should be greater than or equal to 1, not 0"),
        ("agents = 3", "agents = 2.5", "agents: should be a valid integer, not 2.5"),
        ("agents = 3", "agents = true", "agents: should be a valid integer, not True"),
        ("agents = 3", 'agents = "3"', "agents: should be a valid integer, not '3'"),
        ("agents = 3\n", "", "agents: missing"),
        ("steps = 10", "steps = 0", "steps: should be greater than or equal to 1"),
        ("= 0.5", "= 1.01", "action_probability: should be less than or equal to 1, not 1.01"),
        ("= 0.5", "= -0.1", "action_probability: should be greater than or equal to 0, not -0.1"),
        ("= 0.5", "= nan", "action_probability: should be a finite number"),
        ("agents = 3", "agents = 3\nruns = 0", "runs: should be greater than or equal to 1"),
        ("agents = 3", "agents = 3\nfirst_seed = -1", "first_seed: should be greater than"),
        ("agents = 3", "agents = 3\nlatency_steps = -1", "latency_steps: should be greater than"),
        ("agents = 3", "agents = 3\nloss_probability = 2", "loss_probability: should be less"),
        (
            "agents = 3",
            'agents = 3\ncontext = "sometimes"',
            "context: should be 'always_read', 'conditional' or 'pointer', not 'sometimes'",
        ),
        (
            "agents = 3",
            'agents = 3\nartifact_choice = "first"',
            "artifact_choice: should be 'uniform' or 'by_size', not 'first'",
        ),
        ("agents = 3", "agent = 3", "agent: unknown key, did you mean 'agents'? allowed are name,"),
        ("size_tokens = 100", "size_tokens = 0", "artifacts.0.size_tokens: should be greater"),
        ("size_tokens = 100", f"size_tokens = {2**53 + 1}", "artifacts.0.size_tokens: should be"),
        ("size_tokens = 100", "size_token = 1", "artifacts.0.size_token: unknown key"),
        ("size_tokens = 100", "size_tokens = 100\nmutable = 1", "artifacts.0.mutable: should be"),
        (
            "size_tokens = 100",
            'size_tokens = 100\n[[artifacts]]\nname = "plan.md"\nsize_tokens = 1',
            "artifacts: two are named 'plan.md'",
        ),
        ("[[artifacts]]", "[artifacts]", "artifacts: should be an array of tables"),
        ('name = "mine"', 'name = ""', "name: String should have at least 1 character"),
        ('name = "mine"', 'name = "a\\nb"', "name: String should match pattern"),
        ("agents = 3", "agents = ", "not a TOML file"),
        ("# A comment.", "<scenario/>", "not a TOML file"),
    ],
)
def test_a_bad_file_names_the_file_the_key_and_what_is_allowed(old, new, told):
    assert old in VALID
    with pytest.raises(InvalidScenario) as caught:
        parse(VALID.replace(old, new), "mine.toml")
    assert "mine.toml: " in str(caught.value)
    assert told in str(caught.value)
    assert isinstance(caught.value, CallerError)


def test_all_faults_are_told_at_once():
    text = VALID.replace("agents = 3", "agents = 0").replace("steps = 10", "steps = 0")
    with pytest.raises(InvalidScenario, match=r"(?s)agents: .*steps: "):
        parse(text, "mine.toml")


def test_totals_that_cannot_be_counted_exactly_are_refused():
    huge = f"artifacts=[{{name='a', size_tokens={2**53}}}]"
    fits = parse(VALID, "mine.toml", ["agents=1", "steps=1", huge])
    assert fits.broadcast_floor_tokens == 2**53
    with pytest.raises(InvalidScenario, match="more than the 9007199254740992"):
        parse(VALID, "mine.toml", ["agents=2", "steps=1", huge])
    with pytest.raises(InvalidScenario, match="more than the"):
        parse(VALID, "mine.toml", ["agents=1000000000", "steps=1000000000"])


# --set


def test_set_changes_any_key():
    changed = {
        "name": ("2026", "2026"),
        "agents": ("7", 7),
        "steps": ("8", 8),
        "action_probability": ("1", 1.0),
        "write_probability": ("0.125", 0.125),
        "latency_steps": ("3", 3),
        "loss_probability": ("1e-1", 0.1),
        "context": ("pointer", "pointer"),
        "artifact_choice": ('"by_size"', "by_size"),
        "lease_steps": ("9", 9),
        "access_count_max": ("2", 2),
        "transient_timeout_steps": ("4", 4),
        "first_seed": ("0", 0),
        "runs": ("3", 3),
    }
    assert changed.keys() | {"artifacts"} == Scenario.model_fields.keys()
    scenario = parse(VALID, "mine.toml", [f"{key}={text}" for key, (text, _) in changed.items()])
    assert {key: getattr(scenario, key) for key in changed} == {
        key: value for key, (_, value) in changed.items()
    }


def test_set_artifacts_copies_the_first():
    scenario = catalogue.find("large-artifact", ["artifacts=10"])
    assert [artifact.name for artifact in scenario.artifacts] == [
        f"artifact-{number}" for number in range(1, 11)
    ]
    assert set(scenario.sizes_tokens) == {3200}


def test_set_size_tokens_resizes_every_artifact():
    scenario = catalogue.find("planning", ["size_tokens=70"])
    assert scenario.sizes_tokens == (70, 70, 70)
    assert [a.name for a in scenario.artifacts] == [
        a.name for a in catalogue.find("planning").artifacts
    ]
    for changes in (["artifacts=5", "size_tokens=7"], ["size_tokens=7", "artifacts=5"]):
        assert catalogue.find("planning", changes).sizes_tokens == (7,) * 5


def test_the_last_of_several_changes_to_a_key_counts():
    assert parse(VALID, "mine.toml", ["agents=5", "agents=6"]).agents == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("agents", "--set agents: not of the form key=value"),
        ("=3", "--set =3: not of the form key=value"),
        ("agents=", "--set agents=: not of the form key=value"),
        ("agent=3", "--set agent=3: agent: unknown key, did you mean 'agents'?"),
        ("agents=0", "--set agents=0: agents: should be greater"),
        ("agents=many", "--set agents=many: agents: should be a valid integer, not 'many'"),
        ("loss_probability=1.5", "--set loss_probability=1.5: loss_probability: should be less"),
        ("artifacts=0", "--set artifacts=0: allowed are 1 to 1,000,000 artifacts"),
        ("artifacts=9999999999", "allowed are 1 to"),
        ("artifacts=true", "artifacts: should be an array of tables, not True"),
        ("size_tokens=0", "--set size_tokens=0: allowed are sizes of 1 to"),
        ("size_tokens=many", "--set size_tokens=many: allowed are sizes of 1 to"),
        ("context=never", "--set context=never: context: should be 'always_read'"),
    ],
)
def test_a_bad_change_is_told_as_it_was_given(change, told):
    with pytest.raises(InvalidScenario, match=told):
        parse(VALID, "mine.toml", [change])


def test_a_change_is_named_by_what_made_it():
    with pytest.raises(InvalidScenario, match=r"^x.toml: agents=0: agents: should"):
        parse(VALID, "mine.toml", ["agents=0"], option="x.toml:")
    with pytest.raises(InvalidScenario, match=r"^--set size_tokens=7: there are no"):
        parse(VALID.split("[[")[0], "mine.toml", ["size_tokens=7"])


# The catalogue


def test_every_file_of_the_folder_is_shipped_named_as_its_file_and_described():
    folder = Path(__file__).parents[2] / "simulations" / "scenarios"
    assert set(catalogue.shipped()) == {file.stem for file in folder.glob("*.toml")}
    assert catalogue.shipped()[:4] == catalogue.CANONICAL
    for name in catalogue.shipped():
        assert catalogue.find(name).name == name
        assert catalogue.description(name)


def test_a_file_is_found_by_its_path(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(VALID, encoding="utf-8")
    assert catalogue.find(str(file), ["agents=9"]).agents == 9


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UnknownScenario, match="did you mean 'planning'") as caught:
        catalogue.find("planing")
    assert "shipped are planning, analysis, development, churn, access-always-read" in str(
        caught.value
    )


def test_what_cannot_be_read_is_told_apart(tmp_path):
    with pytest.raises(UnknownScenario, match="cannot be read: Is a directory"):
        catalogue.find(str(tmp_path))
    with pytest.raises(UnknownScenario, match="cannot be read: embedded null"):
        catalogue.find("a\0b")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b'name = "\xff"')
    with pytest.raises(InvalidScenario, match="not a TOML file: 'utf-8' codec"):
        catalogue.find(str(binary))
