"""Gathers the pages of the site: those of docs/, those at the root, and an API reference.

    python docs/stage.py build/docs

`make docs` calls this and renders the folder with zensical.  Pages stay as they are read in the
repository; what differs on the site is done here:

- A link to a file that is not a page leads to a page with its source.
- A picture for light and for dark pages follows the switch of the site, not the system alone.
- The chart in ARCHITECTURE.md, which readers of the site would fetch a renderer for, is a picture.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import coherence

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Pages outside docs/, and where each stands on the site.
AT_ROOT = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "tests/README.md": "tests.md",
} | {
    f"simulations/results/{text.name}": f"studies/{text.name}"
    for text in sorted((ROOT / "simulations" / "results").glob("*.md"))
}
#: Pages whose classes form a tree: each shows its base, and not what it inherits.
TREES = ("Errors", "Policies")
HIGHLIGHTED = {".py": "python", ".toml": "toml", ".tla": "tla", ".sh": "sh"}
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=(?:#[^)\s]*)?\))")
_PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\s*'
    r'<img (?:src="(?P<light>[^"]+)"|alt="(?P<alt>[^"]*)"|[\w-]+="[^"]*"|\s)+/?>\s*</picture>'
)
_MERMAID = re.compile(r"```mermaid\n.*?```", re.DOTALL)
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def home(source: Path) -> str:
    """Where a file of the repository stands on the site."""
    name = source.relative_to(ROOT).as_posix()
    if name in AT_ROOT:
        return AT_ROOT[name]
    if name == "README.md":
        return "index.md" if not (DOCS / "index.md").exists() else "readme.md"
    if source.is_relative_to(DOCS) and source.suffix in (".md", ".svg", ".png"):
        return source.relative_to(DOCS).as_posix()
    return f"source/{name}.md"


def page(source: Path, sources: set[Path]) -> str:
    """The text of a page as the site shows it; adds the files to which it links to `sources`."""
    here = Path(home(source)).parent

    def link(found: re.Match[str]) -> str:
        target = (source.parent / found[1]).resolve()
        if not target.is_file() or not target.is_relative_to(ROOT):
            return found[1]  # zensical says that it is broken
        if home(target).startswith("source/"):
            sources.add(target)
        return os.path.relpath(home(target), here)

    def picture(found: re.Match[str]) -> str:
        return "\n".join(
            f"![{found['alt'] or ''}]({found[theme]}#only-{theme})" for theme in ("light", "dark")
        )

    def text(part: str) -> str:
        return _LINK.sub(link, _PICTURE.sub(picture, part))

    said = source.read_text(encoding="utf-8")
    if source.name == "ARCHITECTURE.md":
        rooms = "docs/pictures/rooms"
        said = _MERMAID.sub(
            f"![The rooms and their imports]({rooms}-light.svg#only-light)\n"
            f"![The rooms and their imports]({rooms}-dark.svg#only-dark)",
            said,
        )
    return "".join(part if part.startswith("```") else text(part) for part in _FENCE.split(said))


def listing(source: Path) -> str:
    """A page that shows a file."""
    name = source.relative_to(ROOT).as_posix()
    text = source.read_text(encoding="utf-8")
    return f"# `{name}`\n\n````{HIGHLIGHTED.get(source.suffix, '')}\n{text}````\n"


# The reference


def groups() -> dict[str, tuple[str, Mapping[str, Sequence[str]]]]:
    """Title and public names of each page of the reference, the names by their module."""
    workspace, policies, errors, stores = [], [], [], []
    for name in coherence.__all__:
        value = getattr(coherence, name)
        if issubclass(value, coherence.ToolkitError):
            errors.append(name)
        elif name in vars(sys.modules["coherence.policy"]):
            policies.append(name)
        elif name in vars(sys.modules["coherence.stores.port"]):
            stores.append(name)
        else:
            workspace.append(name)
    return {
        "workspace": ("Workspaces and agents", {"coherence": workspace}),
        "policies": ("Policies", {"coherence": policies}),
        "errors": ("Errors", {"coherence": errors}),
        "stores": (
            "Stores",
            {
                "coherence": stores,
                "coherence.stores.archive": ["Archive"],
                "coherence.stores.conformance": ["verify"],
                "coherence.stores.faulty": ["Faulty"],
                "coherence.stores.memory": ["MemoryStore"],
            },
        ),
        "causal": ("Causal delivery", {"causal": _listed("causal")}),
        "checker": ("The checker", {"specs.checker": _listed("specs.checker")}),
        "core": ("The message-passing core", {"message_passing": _listed("message_passing")}),
        "adapters": (
            "Adapters",
            {name: _listed_in_source(name) for name in _adapters()},
        ),
    }


def _listed(package: str) -> list[str]:
    return list(__import__(package, fromlist=["__all__"]).__all__)


def _adapters() -> list[str]:
    return sorted(init.parent.name for init in ROOT.glob("adapters/*/__init__.py"))


def _listed_in_source(adapter: str) -> list[str]:
    """The names of an adapter, whose import needs its framework."""
    source = (ROOT / "adapters" / adapter / "__init__.py").read_text(encoding="utf-8")
    (names,) = re.findall(r"^__all__ = \[(.*?)\]", source, re.MULTILINE | re.DOTALL)
    return re.findall(r'"(\w+)"', names)


def reference(title: str, names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The lines of a page that mkdocstrings fills in."""
    yield f"# {title}\n"
    for module, listed in names.items():
        if len(names) > 1:
            yield f"## `{module}`\n"
        for name in listed:
            yield f"::: {module}.{name}\n"
            if title in TREES:
                yield "    options:\n      inherited_members: false\n      show_bases: true\n"


def pages() -> dict[str, str]:
    """Every file of the site before it is rendered, by its place."""
    found: dict[str, str] = {"site.css": (DOCS / "site.css").read_text(encoding="utf-8")}
    sources: set[Path] = set()
    for source in [ROOT / "README.md", *(ROOT / name for name in AT_ROOT), *DOCS.rglob("*.md")]:
        found[home(source)] = page(source, sources)
    for source in sources:
        found[home(source)] = listing(source)
    for name, (title, names) in groups().items():
        found[f"api/{name}.md"] = "\n".join(reference(title, names))
    for picture in DOCS.rglob("*.svg"):
        found[home(picture)] = picture.read_text(encoding="utf-8")
    return found


def stage(out: Path) -> None:
    """Make `out` hold the pages and nothing else; what has not changed is not written."""
    found = pages()
    for old in [each for each in out.rglob("*") if each.is_file()]:
        if old.relative_to(out).as_posix() not in found:
            old.unlink()
    for name, text in found.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
