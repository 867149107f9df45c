"""The plugin of pytest: tests whose agents are explored, and fixtures that own time.

Every run of pytest loads this module, so it imports `coherence` where a test asks for it, not
before.  `docs/testing.md` describes what it offers.
"""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from coherence import Recorder, Workspace
    from coherence.testing import ExploredTeam, Result, VirtualClock

#: What is kept between runs, below the folder of pytest's configuration.
KEPT = ".coherence"
NAME_CHARS_MAX = 150
#: Fixtures that live longer than one schedule.
OUTSIDE = ("workspace", "recorded", "clock")

#: The settings of `explore` that `replay` has too.
REPLAYED = ("find", "serial", "outcome", "store", "workspace")

_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """See pytest."""
    group = parser.getgroup("coherence", "agents under every order of their calls")
    group.addoption(
        "--coherence-replay", metavar="TOKEN", help="play this schedule of the one selected test"
    )
    group.addoption(
        "--coherence-schedules",
        metavar="N",
        type=int,
        help="explore at most N schedules a test, for as long as they take",
    )
    group.addoption(
        "--coherence-store",
        metavar="URL",
        default="memory://",
        help="where the workspaces of explored tests and of the fixture `workspace` are",
    )


def pytest_configure(config: pytest.Config) -> None:
    """See pytest."""
    config.addinivalue_line(
        "markers",
        "explore(proof=False, **settings): run the test under every order of its agents' moves; "
        "settings are those of coherence.testing.explore, and with proof it fails unless all were.",
    )
    schedules = config.getoption("--coherence-schedules")
    if schedules is not None and schedules < 1:
        raise pytest.UsageError(f"--coherence-schedules {schedules}: give 1 or more")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """See pytest."""
    explored = [item for item in items if _is_explored(item)]
    if config.getoption("--coherence-replay") and items and len(explored) != 1:
        raise pytest.UsageError(
            f"--coherence-replay plays a schedule of one test, and {len(explored)} are selected: "
            "name it as file.py::test"
        )


def _is_explored(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("explore") is not None
    return marked or "team" in getattr(item, "fixturenames", ())


# Explored tests


class _TooEarly:
    """The team of a test, before there is one."""

    def __getattr__(self, name: str) -> Any:
        pytest.fail("a fixture has no team: each schedule has its own, which the test is given")


@pytest.fixture
def team() -> object:
    """The team of one schedule, `coherence.testing.ExploredTeam`: a test with it is explored."""
    return _TooEarly()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the test as a program, once for each schedule."""
    marked = pyfuncitem.get_closest_marker("explore") is not None
    if not marked and not isinstance(pyfuncitem.funcargs.get("team"), _TooEarly):
        return None  # an application can have fixtures of that name
    if wrong := _unfit(pyfuncitem):
        pytest.fail(f"{pyfuncitem.name} cannot be explored: {wrong}", pytrace=False)
    result = _explored(pyfuncitem)
    pyfuncitem.user_properties.append(("coherence", str(result)))
    if result.found is None:
        return True
    command = f"pytest '{pyfuncitem.nodeid}' --coherence-replay '{result.found.token}'"
    result.found.add_note(f"or: {command}")
    if result.found.cause.__traceback__ is None:  # the kit found it: there is no line to show
        pytest.fail(f"{result.found}\nor: {command}", pytrace=False)
    __tracebackhide__ = True
    raise result.found from result.found.cause


def _unfit(item: pytest.Function) -> str:
    if getattr(item.obj, "is_hypothesis_test", False):
        return "Hypothesis runs it: call coherence.testing.explore in it"
    if inspect.iscoroutinefunction(item.obj):
        return "it is a coroutine function: use team.run_async in a plain one"
    if "team" not in inspect.signature(item.obj).parameters:
        return "it does not take team"
    if not isinstance(item.funcargs["team"], _TooEarly):
        return "another fixture is named team"
    outside = [name for name in OUTSIDE if name in item.fixturenames]
    if outside:
        return f"{outside[0]} lives longer than a schedule: use team.workspace, team.now"
    return ""


def _explored(item: pytest.Function) -> Result:
    """What came of the test.  What fails is kept, and tried first the next time."""
    from coherence import ToolkitError

    settings: dict[str, Any] = {"store": item.config.getoption("--coherence-store")}
    for marker in reversed(list(item.iter_markers("explore"))):
        settings |= marker.kwargs
    must_prove = settings.pop("proof", False)
    try:
        result = _replayed(item, settings) or _searched(item, settings)
    except ToolkitError as error:
        pytest.fail(f"{type(error).__name__}: {error}", pytrace=False)
    if must_prove and result.found is None and result.verdict.value != "proof":
        pytest.fail(f"{item.name} is not proved: {result}", pytrace=False)
    return result


def _program(item: pytest.Function) -> Callable[[ExploredTeam], Any]:
    test = item.obj
    names = inspect.signature(test).parameters
    given = {name: item.funcargs[name] for name in names if name != "team"}
    return lambda team: test(team=team, **given)


def _replayed(item: pytest.Function, settings: dict[str, Any]) -> Result | None:
    """The schedule that is asked for, or else the one that failed last, if it still does."""
    from coherence.testing import BadToken, replay

    options = {name: settings[name] for name in REPLAYED if name in settings}
    asked = item.config.getoption("--coherence-replay")
    with nullcontext() if asked else suppress(OSError, BadToken):
        token = asked or _place(item, "found").read_text(encoding="utf-8")
        result = replay(_program(item), token, raises=False, **options)
        if asked or result.found is not None:
            return result
    return None


def _searched(item: pytest.Function, settings: dict[str, Any]) -> Result:
    from coherence.testing import explore

    if schedules := item.config.getoption("--coherence-schedules"):
        settings |= {"schedules": schedules, "seconds": float("inf")}
    kept = _place(item, "found")
    with suppress(OSError):
        kept.unlink()
    result = explore(_program(item), raises=False, **settings)
    if result.found is not None:
        with suppress(OSError):  # a folder that is read-only keeps nothing
            (_hidden(kept.parent) / kept.name).write_text(result.found.token, encoding="utf-8")
    return result


def _place(item: pytest.Item, what: str) -> Path:
    """Where something of a test is kept."""
    name = quote(item.nodeid, safe=" []")
    if len(name) > NAME_CHARS_MAX:
        tail = blake2b(item.nodeid.encode(), digest_size=8).hexdigest()
        name = f"{name[:NAME_CHARS_MAX]}-{tail}"
    return item.config.rootpath / KEPT / what / name


def _hidden(folder: Path) -> Path:
    """`folder`, made where it was missing, and not seen by Git."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    return folder


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how much was explored: of each test with -v, otherwise of those that are not proved."""
    lines = []
    for report in terminalreporter.getreports("passed"):
        for name, words in report.user_properties:
            is_told = config.getoption("verbose") > 0 or not str(words).startswith("proof")
            if name == "coherence" and report.when == "call" and is_told:
                lines.append(f"{report.nodeid}: {words}")
    if lines:
        terminalreporter.section("explored")
        for line in lines:
            terminalreporter.line(line)


# Tests with a workspace


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Seconds that pass where the test calls ``clock.pass_(seconds)``."""
    from coherence.testing import VirtualClock

    with VirtualClock() as made:
        yield made


@pytest.fixture
def workspace(request: pytest.FixtureRequest, clock: VirtualClock) -> Iterator[Workspace]:
    """A new workspace on `clock`, recorded if the test has `recorded`.

    In memory, unless ``--coherence-store`` names another store.
    """
    recorder = None
    if "recorded" in request.fixturenames:
        recorder = request.getfixturevalue("recorded")
    store = request.config.getoption("--coherence-store")
    with clock.workspace(store, recorder=recorder) as made:
        yield made


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """A recorder of workspaces: at the end of the test, each invariant holds of each step."""
    from coherence import Recorder
    from coherence.testing.judging import judge

    kept = _place(request.node, "recorded")
    shutil.rmtree(kept, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        with Recorder(folder) as recorder:
            yield recorder
        is_failed = True
        try:
            for path in sorted(Path(folder).iterdir()):
                judge(path)
            is_failed = request.node.stash.get(_FAILED, False)
        finally:
            if is_failed and any(Path(folder).iterdir()):
                with suppress(OSError):
                    shutil.copytree(folder, _hidden(kept.parent) / kept.name)
                    words = f"the steps of this test are in {kept}"
                    request.node.add_report_section("teardown", "coherence", words)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note which tests fail."""
    outcome: Any = yield
    if outcome.get_result().failed:
        item.stash[_FAILED] = True
