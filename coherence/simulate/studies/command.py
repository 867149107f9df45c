"""The command ``coherence simulate study``: runs studies, and writes or compares their results."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import typer

from coherence.simulate.pages.saving import require
from coherence.simulate.studies import rows as figures
from coherence.simulate.studies.rows import Figures
from coherence.simulate.studies.study import InvalidStudy, Study, found
from coherence.simulate.studies.writing import written
from message_passing.commands import examples
from message_passing.console import progress, reported, say, write
from message_passing.errors import EnvironmentFault

EXAMPLES = examples(
    "coherence simulate study my_question.md",
    "coherence simulate study my_question.md --into results",
)

Perform: TypeAlias = Callable[[tuple[str, ...]], list[Figures]]


class StudyFailed(EnvironmentFault):
    """A command of a study failed; the message has its words."""

    remedy = "run the command by itself"


class ResultsNotWritten(EnvironmentFault):
    """A file of the results cannot be written."""

    remedy = "name a folder that can be written and has room"


def study(
    studies: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER...", help="Studies, or folders of them.")
    ],
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="FOLDER", help="Write the results there: text and CSV."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing: compare with the files of `--into`."),
    ] = False,
) -> None:
    """Run the commands of studies and fill their figures into the text.

    A study is a Markdown file with a question, commands and a finding.  Without `--into` the text
    is printed.  The same files give the same bytes.

    Exit codes: 0 fine, 1 a result differs from the file, 2 a wrong study, 3 a command failed.
    """
    if check and into is None:
        raise typer.BadParameter("--check compares with the files of --into FOLDER")
    differing: list[Path] = []
    with reported():
        require()
        asked = found(studies)
        done: dict[tuple[str, ...], list[Figures]] = {}
        for number, each in enumerate(asked, 1):
            progress(f"{number} of {len(asked)}: {each.title}")
            results = answered(each, done)
            if into is None:
                write(results[Path(f"{each.name}.md")])
                continue
            for name, text in results.items():
                if check:
                    differing += [] if _kept(into / name) == text else [into / name]
                else:
                    _keep(into / name, text)
    for path in differing:
        say(f"{path}: differs from what the study gives")
    if differing:
        raise typer.Exit(1)


def answered(
    study: Study, done: dict[tuple[str, ...], list[Figures]], perform: Perform | None = None
) -> dict[Path, str]:
    """The files of a study's results, by their names: the text, and the rows as CSV.

    `done` has the rows of commands that were run before, and gets those that are run now.  Raises
    `StudyFailed`, `InvalidStudy` and `NoReport`.
    """
    tables: dict[str, str] = {}
    for name, arguments in study.commands.items():
        if arguments not in done:
            done[arguments] = (perform or _performed)(arguments)
        tables[name] = figures.as_csv(done[arguments])
    kept = {name: figures.of_csv(text) for name, text in tables.items()}
    return dict(_files(study, written(study, kept), tables))


def _files(study: Study, text: str, tables: dict[str, str]) -> Iterator[tuple[Path, str]]:
    folder = Path(study.name)
    links = ", ".join(f"[{name}.csv]({study.name}/{name}.csv)" for name in tables)
    yield Path(f"{study.name}.md"), f"{text.rstrip()}\n\nEvery figure: {links}.\n"
    for name, table in tables.items():
        yield folder / f"{name}.csv", table


def _performed(arguments: Sequence[str]) -> list[Figures]:
    """Run one command by itself, as a reader would."""
    call = [sys.executable, "-m", "coherence.simulate", *arguments, "--json", "--quiet"]
    done = subprocess.run(call, capture_output=True, check=False)
    said = " ".join(["coherence simulate", *arguments])
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise StudyFailed(f"{said}: {words}")
    try:
        return figures.of_json(done.stdout)
    except msgspec.DecodeError as error:
        raise InvalidStudy(f"{said}: its JSON is not a list of objects: {error}") from error


def _kept(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _keep(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsNotWritten(f"{path}: {error.strerror or error}") from error
