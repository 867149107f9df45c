"""The tree keeps its shape: what is declared is there, what is there is declared."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOOL = PYPROJECT["tool"]
WHEEL = TOOL["hatch"]["build"]["targets"]["wheel"]

# Folders at the root that are no part of the distribution.
OUTSIDE = {"bench", "build", "dist", "docs", "examples", "simulations", "site", "tests", "venv"}

# A protocol has one table, a port one list of calls, and a kit one list of promises, however long
# (CONTRIBUTING.md).
LONG_MODULES = {
    "coherence/stores/port.py",
    "coherence/stores/promises.py",
    "coherence/runtime/caches.py",
    "coherence/runtime/homes.py",
    "coherence/workspace/agent.py",
    "coherence/workspace/writing.py",
    "coherence/cache.py",
    "coherence/directory.py",
}
MODULE_LINES_MAX = 400


def top_packages() -> list[str]:
    """Import names of the packages in the tree, those under the source root `adapters` included."""
    roots = [*ROOT.glob("[a-z]*/__init__.py"), *ROOT.glob("adapters/*/__init__.py")]
    return sorted({init.parent.name for init in roots} - OUTSIDE)


def texts() -> list[Path]:
    """Every text file that a clone would show."""
    kinds = {".cfg", ".json", ".md", ".py", ".tla", ".toml", ".txt", ".yml", ""}
    shown = [ROOT / ".ci", *(p for p in ROOT.iterdir() if not p.name.startswith("."))]
    files = [f for top in shown for f in ([top] if top.is_file() else top.rglob("*"))]
    return [f for f in files if f.is_file() and f.suffix in kinds and "__pycache__" not in f.parts]


# Where pyproject.toml lists the packages.
LISTINGS = {
    "tool.hatch.build.targets.wheel.only-include": [
        path for path in WHEEL["only-include"] if (ROOT / path / "__init__.py").exists()
    ],
    "tool.mypy.files": [path for path in TOOL["mypy"]["files"] if not path.endswith(".py")],
    "tool.importlinter.root_packages": TOOL["importlinter"]["root_packages"],
    "tool.importlinter.contracts, layers": [
        name
        for contract in TOOL["importlinter"]["contracts"]
        for layer in contract.get("layers", ())
        for name in layer.split(" | ")
    ],
}


@pytest.mark.parametrize("setting", LISTINGS)
def test_every_package_is_listed(setting):
    listed = {Path(path).name for path in LISTINGS[setting]}
    unlisted, gone = set(top_packages()) - listed, listed - set(top_packages())
    assert not unlisted, f"add {sorted(unlisted)} to {setting} in pyproject.toml"
    assert not gone, f"take {sorted(gone)} out of {setting} in pyproject.toml"


def test_all_that_the_wheel_lists_exists():
    assert [path for path in WHEEL["only-include"] if not (ROOT / path).exists()] == []


def test_readme_is_shipped():
    assert (PYPROJECT["project"].get("readme") == "README.md") == (ROOT / "README.md").exists()


def test_types_are_shipped_by_all_or_by_none():
    promised = "Typing :: Typed" in PYPROJECT["project"]["classifiers"]
    marked = {marker.parent.name for marker in ROOT.glob("*/py.typed")}
    marked |= {marker.parent.name for marker in ROOT.glob("adapters/*/py.typed")}
    without = sorted(set(top_packages()) - marked)
    assert not promised or not without, f"PEP 561: add an empty py.typed to {without}"
    assert promised or not marked, "PEP 561: py.typed without the classifier"


def test_modules_are_short():
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for included in WHEEL["only-include"]
        for path in (ROOT / included).rglob("*.py")
    }
    long = {name for name, count in lines.items() if count > MODULE_LINES_MAX}
    assert long - LONG_MODULES == set()


@pytest.mark.slow
def test_no_file_names_a_machine():
    # Assembled, so that this file does not find itself.
    folder = re.compile(
        r"(?<![\w.:/-])/(?:" + "|".join(["work", "root", "home", "tmp", "Users"]) + r")/\w"
    )
    named = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in texts()
        if (found := folder.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert named == []


def test_dev_is_one_list():
    groups = PYPROJECT["dependency-groups"]
    assert groups["dev"] == ["artifact-coherence[dev]"]


def test_all_is_every_extra_of_the_product():
    extras = PYPROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named, apart = (
        set(re.search(r"\[(.*)\]", extra).group(1).split(","))
        for extra in (everything, extras["apart"][0])
    )
    assert named == set(extras) - {"all", "apart", "browser", "dev", "docs", "frameworks"} - apart
