"""Counts what makes a house hard to walk through, in the code that is shipped.

    python tests/project/rooms.py

*Circles*: modules that import each other, imports for types and imports within functions included.
*Reaches*: uses of a private name that another file of ours defines.  *Homonyms*: names of classes
that two modules of one package define.

*Rooms* are the packages and folders that ARCHITECTURE.md draws.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import networkx
from rich.console import Console

ROOT = Path(__file__).parents[2]
ADAPTERS = tuple(sorted(init.parent.name for init in ROOT.glob("adapters/*/__init__.py")))
PACKAGES = {
    **dict.fromkeys(("message_passing", "coherence", "causal", "specs"), ROOT),
    **dict.fromkeys(("file_guard", "coherence_console"), ROOT),
    **dict.fromkeys(ADAPTERS, ROOT / "adapters"),
}
#: Methods that `NamedTuple` makes: public, although their names begin like private ones.
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}


def modules() -> dict[str, ast.Module]:
    """Every shipped module, by its import name."""
    found = {}
    for package, root in PACKAGES.items():
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Which modules of ours each module imports, anywhere in its text."""
    return {name: set(_imported(name, tree, trees)) - {name} for name, tree in trees.items()}


def _imported(name: str, tree: ast.Module, trees: Mapping[str, ast.Module]) -> Iterator[str]:
    is_package = any(other.startswith(f"{name}.") for other in trees)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in trees)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parts = name.split(".")
                above = parts[: len(parts) - node.level + is_package]
                source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names if source in trees else ():
                member = f"{source}.{alias.name}"
                yield member if member in trees else source


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """The sets of modules that import each other (strongly connected components; Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = low[module] = len(number)
        stack.append(module)
        for other in sorted(edges.get(module, ())):
            if other not in number:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], number[other])
        if low[module] == number[module]:
            members = [stack.pop()]
            while members[-1] != module:
                members.append(stack.pop())
            if len(members) > 1:
                found.append(sorted(members))

    for module in sorted(edges):
        if module not in number:
            visit(module)
    return sorted(found)


def longest_chain(edges: Mapping[str, set[str]], package: str) -> list[str]:
    """The longest chain of imports among the modules of one package; it must have no circle."""
    inside = {m: {o for o in edges[m] if _is_in(o, package)} for m in edges if _is_in(m, package)}
    best: dict[str, list[str]] = {}

    def longest(module: str) -> list[str]:
        if module not in best:
            below = [longest(other) for other in sorted(inside[module])]
            best[module] = [module, *max(below, key=len, default=[])]
        return best[module]

    return max((longest(module) for module in inside), key=len, default=[])


def _is_in(module: str, package: str) -> bool:
    return module.startswith(f"{package}.")


def reaches(trees: Mapping[str, ast.Module]) -> list[str]:
    """Uses of a private name of another file of ours: ``file:line name``."""
    owners: dict[str, set[str]] = defaultdict(set)
    for module, tree in trees.items():
        for private in _defined(tree):
            owners[private].add(module)
    return sorted(
        f"{module}:{line} {name}"
        for module, tree in trees.items()
        for line, name in _used(tree)
        if owners[name] and module not in owners[name]
    )


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in OF_NAMED_TUPLES


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if _is_private(node.name):
                yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if _is_private(node.id):
                yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and (_is_private(node.attr) and _is_own(node.value))
        ):
            yield node.attr


def _used(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and not _is_own(node.value):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if _is_private(alias.name):
                    yield node.lineno, alias.name


def _is_own(owner: ast.expr) -> bool:
    if isinstance(owner, ast.Name):
        return owner.id in ("self", "cls")
    return (
        isinstance(owner, ast.Call)
        and isinstance(owner.func, ast.Name)
        and owner.func.id == "super"
    )


def homonyms(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Names of public classes that several modules of one package define, with the modules."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[module.partition(".")[0], node.name].append(module)
    return {
        f"{package}: {name}": found
        for (package, name), found in sorted(places.items())
        if len(found) > 1
    }


def command_tests(tree: ast.Module) -> list[int]:
    """The lines that tell a `SetTimer` from other commands, as an interpreter of commands does."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            told = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and _ends_in(node.func, "isinstance"):
            told = node.args[1:]
        elif isinstance(node, ast.MatchClass):
            told = [node.cls]
        else:
            continue
        if any(_ends_in(part, "SetTimer") for kind in told for part in ast.walk(kind)):
            lines.append(node.lineno if not isinstance(node, ast.MatchClass) else node.cls.lineno)
    return lines


def _ends_in(node: ast.AST, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (
        isinstance(node, ast.Attribute) and node.attr == name
    )


#: The rooms that ARCHITECTURE.md draws, each with the modules and packages in it.  A module belongs
#: to the room with the longest name of its own.
ROOMS: dict[str, tuple[str, ...]] = {
    "message_passing": ("message_passing",),
    "coherence": ("coherence",),
    "coherence/stores": ("coherence.stores",),
    "coherence/workspace": ("coherence.workspace",),
    "coherence/runtime": ("coherence.runtime",),
    "coherence/context": ("coherence.context",),
    "coherence/simulate": ("coherence.simulate",),
    "coherence/testing": ("coherence.testing",),
    "causal": ("causal",),
    "causal/transports": ("causal.transports",),
    "causal/simulate": ("causal.simulate",),
    "specs/checker": ("specs.checker",),
    "specs/system": ("specs.system", "specs.environment", "specs.slots", "specs.channels"),
    "specs/models": ("specs.models",),
    "specs/examples": ("specs.examples",),
    "specs/histories": ("specs.histories",),
    "specs/session": ("specs.session",),
    "specs": ("specs",),
    "file_guard": ("file_guard",),
    "adapters": ADAPTERS,
    "coherence_console": ("coherence_console",),
}


def is_front(module: str) -> bool:
    """Whether a module is the front of a package with rooms: its public names, its commands.

    A front imports all rooms of its package, and would close a circle with the core, which is the
    room of the same name.
    """
    package, _, rest = module.partition(".")
    return package in ("coherence", "causal") and (not rest or rest.startswith(("cli", "__main__")))


def room_of(module: str) -> str | None:
    """The room of a module; None for a front."""
    if is_front(module):
        return None
    found = [
        (len(part), room)
        for room, parts in ROOMS.items()
        for part in parts
        if module == part or _is_in(module, part)
    ]
    return max(found)[1] if found else None


def room_imports(edges: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """Which room imports which."""
    pairs = {(room_of(module), room_of(other)) for module in edges for other in edges[module]}
    return {(a, b) for a, b in pairs if a is not None and b is not None and a != b}


def reduced(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs without those that follow from others: the transitive reduction.

    Raises `networkx.NetworkXError` if the pairs have a circle.
    """
    return set(networkx.transitive_reduction(networkx.DiGraph(sorted(pairs))).edges)


def main() -> None:
    """Print every count and what it counts."""
    say = Console(highlight=False, soft_wrap=True).print
    trees = modules()
    edges = imports(trees)
    found = circles(edges)
    say(f"{len(found)} circles of imports")
    for circle in found:
        say("   ", " - ".join(circle))
    reached = reaches(trees)
    say(f"{len(reached)} private reaches across files")
    for place in reached:
        say("   ", place)
    names = homonyms(trees)
    say(f"{len(names)} names of classes with two meanings in one package")
    for name, places in names.items():
        say("   ", name, "in", ", ".join(places))
    if not any("coherence.workspace." in module for circle in found for module in circle):
        chain = longest_chain(edges, "coherence.workspace")
        say(f"{len(chain)} modules in the longest chain of imports in workspace/")
        say("   ", " -> ".join(module.rpartition(".")[2] for module in chain))


if __name__ == "__main__":
    main()
