"""Draws both protocol tables and the rooms of ARCHITECTURE.md, for light pages and for dark ones.

    python docs/pictures/diagrams.py      # needs Graphviz (apt install graphviz)

Each picture names the digest of the graph that it shows, which a test compares with the tables and
with the chart of today.  So only a change of a graph needs Graphviz.
"""

from __future__ import annotations

import re
import subprocess
from hashlib import blake2b
from pathlib import Path

import msgspec

from coherence.printing import TABLES, dot

HERE = Path(__file__).parent
ARCHITECTURE = HERE.parents[1] / "ARCHITECTURE.md"
MERMAID = re.compile(r"```mermaid\n(flowchart .*?)```", re.DOTALL)

FONTS = ("-Nfontname=Helvetica", "-Efontname=Helvetica", "-Efontsize=12")


class Theme(msgspec.Struct, frozen=True):
    """The colours of one picture.  The page's own background shows through."""

    name: str
    text: str
    line: str
    fill: str


THEMES = (
    Theme("light", "#1f2328", "#59636e", "#ddf4ff"),
    Theme("dark", "#e6edf3", "#9198a1", "#121d2f"),
)


def flowchart(mermaid: str) -> str:
    """A flowchart of boxes and arrows as a graph for Graphviz."""
    boxes = re.findall(r'^ *(\w+)\["(.*?)"\]$', mermaid, re.MULTILINE)
    arrows = re.findall(r"^ *(\w+) --> (\w+)$", mermaid, re.MULTILINE)
    lines = [f'  "{name}" [label="{label}"];' for name, label in boxes]
    lines += [f'  "{source}" -> "{target}";' for source, target in arrows]
    return "\n".join(["digraph rooms {", "  node [shape=box, style=rounded];", *lines, "}"])


def graphs() -> dict[str, str]:
    """The graph of each diagram, for Graphviz."""
    found = {name: dot(table) for name, table in TABLES.items()}
    (rooms,) = MERMAID.findall(ARCHITECTURE.read_text(encoding="utf-8"))
    return found | {"rooms": flowchart(rooms)}


def digest(graph: str) -> str:
    """What a picture says of its graph."""
    return blake2b(graph.encode(), digest_size=16).hexdigest()


def drawn(graph: str, theme: Theme) -> str:
    """The graph as SVG.  Raises `FileNotFoundError` without Graphviz."""
    colours = {
        "-Gbgcolor": "transparent",
        "-Nfontcolor": theme.text,
        "-Efontcolor": theme.text,
        "-Ncolor": theme.line,
        "-Ecolor": theme.line,
        "-Nfillcolor": theme.fill,
    }
    style = "rounded,filled" if "rounded" in graph else "filled"
    graph = graph.replace("style=rounded", f'style="{style}"')
    graph = graph.replace("shape=ellipse", "shape=ellipse, style=filled")
    graph = graph.replace("rankdir=LR", "rankdir=TB")
    options = [f"{option}={value}" for option, value in colours.items()]
    done = subprocess.run(
        ["dot", "-Tsvg", *FONTS, *options],
        input=graph,
        capture_output=True,
        text=True,
        check=True,
    )
    svg = done.stdout[done.stdout.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n", "", svg, flags=re.DOTALL)
    svg = re.sub(r'width="(\d+)pt" height="(\d+)pt"', r'width="\1" height="\2"', svg, count=1)
    return svg.replace("Helvetica,sans-Serif", "Helvetica, Arial, sans-serif")


def main() -> None:
    """Write every diagram in every theme."""
    for name, graph in graphs().items():
        for theme in THEMES:
            text = f"<!-- graph: {digest(graph)} -->\n{drawn(graph, theme)}"
            (HERE / f"{name}-{theme.name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
