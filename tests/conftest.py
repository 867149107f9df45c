"""Settings that every test shares."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import typer
from hypothesis import settings

# Support beside this file is imported by name: tests form no package.
sys.path.insert(0, str(Path(__file__).parent))
pytest_plugins = ["postgres_server"]

#: How long a slow test may take on a busy machine, unless it says, in seconds.
SLOW_S = 600
#: What a run of all tests may write at once, in bytes.
ROOM_BYTES = 2 << 30


def use_memory(folder: Path = Path("/dev/shm")) -> None:
    """Have all that tests write lie in memory: that a disk syncs is not what they test."""
    usable = folder.is_dir() and os.access(folder, os.W_OK)
    if usable and shutil.disk_usage(folder).free >= ROOM_BYTES:
        os.environ.setdefault("TMPDIR", str(folder))
        tempfile.tempdir = None  # pytest has asked for one already


use_memory()


def heed_interrupts() -> None:
    """Have tests send themselves a Ctrl-C: a shell's job in the background ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


heed_interrupts()


def keep_commands() -> None:
    """Make the commands of an application once: to make them takes longer than a short call."""
    make, made = typer.main.get_command, {}

    def get_command(app: typer.Typer) -> object:
        registered = [*app.registered_commands, *app.registered_groups]
        key = (id(app), *map(id, registered))
        if key not in made:
            made[key] = make(app), app, registered  # which keep their ids for as long
        return made[key][0]

    typer.main.get_command = get_command


keep_commands()

# Speed is measured in bench/, so no example is ever failed for being slow.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write what is seen into rows, transcripts, forms of a new schema; review the diff",
    )


@pytest.fixture(scope="session")
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether expected outputs are to be written, not compared."""
    return bool(request.config.getoption("--rewrite"))


@pytest.fixture
def mortal() -> Iterator[Callable[..., object]]:
    """Makes processes as `mortals.Mortal` does: they have ended after the test, however it ends."""
    from mortals import Mortal

    made: list[Mortal] = []

    def make(*given: str) -> Mortal:
        made.append(Mortal(*given))
        return made[-1]

    yield make
    for each in made:
        each.kill()


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: many tests wait for processes, servers and leases."""
    return min(8, (os.cpu_count() or 1) * 3 // 2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A command that has failed is shown with what it wrote: `check=True` alone hides it."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, subprocess.CalledProcessError):
        for text in filter(None, (error.stdout, error.stderr)):
            shown = text.decode(errors="replace") if isinstance(text, bytes) else text
            report.sections.append(("what the command wrote", shown))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test with `slow(fast=N)`, N cases at equal distances are not slow.

    The others have more time.
    """
    cases: dict[str, list[pytest.Item]] = {}
    fast: dict[str, int] = {}
    for item in items:
        marks = list(item.iter_markers("slow"))
        if len(marks) == 1 and "fast" in marks[0].kwargs:  # a case may be slow by itself
            name = item.nodeid.partition("[")[0]
            cases.setdefault(name, []).append(item)
            fast[name] = marks[0].kwargs["fast"]
    for name, some in cases.items():
        kept = min(fast[name], len(some))
        for number in range(kept):
            own = some[number * len(some) // kept].own_markers
            own[:] = [mark for mark in own if mark.name != "slow"]
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_S))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What collecting loads stays: the frameworks alone are a heap that is dear to walk.

    After it a collection comes after so many new objects as a test makes, not after 700.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()
