"""Where scenarios are found: the shipped ones by name, all others by file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from coherence.simulate.errors import InvalidScenario, UnknownScenario, nearest
from coherence.simulate.scenario import Scenario, parse

CANONICAL = ("planning", "analysis", "development", "churn")
"""Scenarios A to D of the Token Coherence paper, in its order."""

FILE_BYTES_MAX = 64 * 2**20


def shipped() -> tuple[str, ...]:
    """Names of the shipped scenarios: the canonical four in order, then the others by name."""
    names = {file.name.removesuffix(".toml") for file in _files()}
    return CANONICAL + tuple(sorted(names.difference(CANONICAL)))


def find(name_or_file: str, changes: Iterable[str] = (), option: str = "--set") -> Scenario:
    """Return a shipped scenario by name, or the one in a file, after `changes` (``key=value``).

    `option` names in messages what made the changes.  Raises `UnknownScenario` and
    `InvalidScenario`.
    """
    text, source = _text(name_or_file)
    return parse(text, source, changes, option)


def description(name: str) -> str:
    """Return the description of a shipped scenario: the comment at the head of its file."""
    text, _ = _text(name)
    head = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        head.append(line.lstrip("# ").strip())
    return " ".join(head)


def _text(name_or_file: str) -> tuple[str, str]:
    for file in _files():
        if file.name == f"{name_or_file}.toml":
            return file.read_text(encoding="utf-8"), file.name
    path = Path(name_or_file)
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise UnknownScenario(f"{name_or_file}: larger than {FILE_BYTES_MAX:,} bytes")
        return content.decode("utf-8"), name_or_file
    except UnicodeDecodeError as error:
        raise InvalidScenario(f"{name_or_file}: not a TOML file: {error}") from None
    except FileNotFoundError:
        names = shipped()
        hint = nearest(name_or_file, names)
        raise UnknownScenario(
            f"{name_or_file}: no such scenario or file{hint or ','} shipped are {', '.join(names)}"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnknownScenario(f"{name_or_file}: cannot be read: {reason}") from None


def _files() -> Iterator[Traversable]:
    folder: Traversable = files("coherence.simulate") / "scenarios"
    if not folder.is_dir():  # a checkout: the wheel's build copies the folder into the package
        folder = Path(__file__).resolve().parents[2] / "simulations" / "scenarios"
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            yield file
