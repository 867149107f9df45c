"""Public names are listed by hand in each package's `__all__`, and the list is true."""

import importlib
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]


def packages() -> list[str]:
    """Every package and subpackage of the wheel, by import name."""
    found = []
    for included in WHEEL["only-include"]:
        for init in sorted((ROOT / included).rglob("__init__.py")):
            parts = init.parent.relative_to(ROOT).parts
            found.append(".".join(parts[1:] if parts[0] == "adapters" else parts))
    return found


def imported(name: str) -> ModuleType:
    """The package; an adapter without its framework is skipped."""
    if (ROOT / "adapters" / name).exists():
        return pytest.importorskip(name, exc_type=ImportError)
    return importlib.import_module(name)


@pytest.mark.parametrize("name", packages())
def test_all_is_true(name):
    package = imported(name)
    listed = getattr(package, "__all__", [])
    missing = [public for public in listed if not hasattr(package, public)]
    assert missing == [], f"{name}.__all__ lists names that are not there"
    assert len(listed) == len(set(listed)), f"{name}.__all__ lists a name twice"


@pytest.mark.parametrize("name", packages())
def test_no_public_name_is_left_out(name):
    package = imported(name)
    bound = {
        public
        for public, value in vars(package).items()
        if not public.startswith("_")
        and not isinstance(value, ModuleType)
        and type(value).__module__ != "__future__"
    }
    unlisted = bound - set(getattr(package, "__all__", []))
    assert unlisted == set(), f"list these in {name}.__all__, or import them under a private name"
