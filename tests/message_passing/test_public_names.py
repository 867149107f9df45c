"""The public names are what `message_passing.__all__` lists, and importing them is cheap."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import types
from pathlib import Path

import message_passing
from message_passing.errors import CallerError, Defect, EnvironmentFault, PeerError, ToolkitError

MODULES = sorted(
    path.stem
    for path in Path(message_passing.__file__).parent.glob("*.py")
    if path.stem != "__init__"
)


def test_the_list_is_sorted_and_true() -> None:
    assert message_passing.__all__ == sorted(set(message_passing.__all__))
    for name in message_passing.__all__:
        assert hasattr(message_passing, name)


def test_nothing_public_is_missing_from_the_list() -> None:
    found = {
        name
        for name, value in vars(message_passing).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert found == set(message_passing.__all__)


def test_every_name_of_the_modules_that_the_package_offers_is_offered() -> None:
    offered = ("process", "network", "errors", "ports", "netmodel", "oracle", "simulator", "wire")
    internal = {"VERSION", "Watched"}
    for module in offered:
        source = Path(message_passing.__file__).with_name(f"{module}.py").read_text("utf-8")
        for node in ast.parse(source).body:
            names = []
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names = [node.name]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                if not name.startswith("_") and name not in internal:
                    assert name in message_passing.__all__, f"{module}.{name}"


def test_the_layout_names_every_module() -> None:
    assert message_passing.__doc__ is not None
    words = set(message_passing.__doc__.replace(":", " ").split())
    assert set(MODULES) - words == set()


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = {"asyncio", "typer", "rich", "pydantic", "networkx", "sqlite3"}
    program = f"import sys, message_passing; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"


def errors() -> list[type[ToolkitError]]:
    """Every error class of the package."""
    found: dict[str, type[ToolkitError]] = {}
    for module in MODULES:
        for value in vars(__import__(f"message_passing.{module}", fromlist=["_"])).values():
            if inspect.isclass(value) and issubclass(value, ToolkitError):
                found[value.__qualname__] = value
    return list(found.values())


def test_every_error_has_a_code_of_its_own_and_says_whose_fault_it_is() -> None:
    codes = [error.code for error in errors()]
    assert len(codes) == len(set(codes)) > 20
    branches = (CallerError, PeerError, EnvironmentFault, Defect)
    for error in errors():
        if error is not ToolkitError:
            assert sum(issubclass(error, branch) for branch in branches) == 1, error
            assert error.fault in {"caller", "peer", "environment", "ours"}


def test_the_text_of_an_error_ends_with_its_remedy() -> None:
    assert str(message_passing.Busy("busy")).startswith("busy (wait for the answer")
    assert str(CallerError("no", remedy="do this")) == "no (do this)"
    assert str(CallerError("no")) == "no"


def test_a_code_is_the_name_of_its_class_unless_it_gives_another() -> None:
    class ShelfFull(EnvironmentFault):
        pass

    class Renamed(EnvironmentFault):
        code = "shelf-gone"

    assert (ShelfFull.code, Renamed.code) == ("shelf-full", "shelf-gone")
