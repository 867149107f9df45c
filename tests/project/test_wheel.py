"""The wheel is whole: built, installed elsewhere, it does the main job in a folder of its own."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

Run = Callable[..., str]


def run(*command: str | Path, cwd: Path) -> str:
    """The command's stdout; its failure fails the test with all that it said."""
    # The surroundings of the checkout must not leak in, nor a terminal's width.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COLUMNS"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel."""
    environment = tmp_path_factory.mktemp("installed") / "env"
    empty = tmp_path_factory.mktemp("elsewhere")
    python = environment / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    bare = find_spec("pip") is None  # as in environments that uv makes
    venv.create(environment, with_pip=bare, symlinks=True)
    if bare:
        pip = [python, "-m", "pip"]
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel, cwd=empty)
    # The dependencies are borrowed from the environment that runs the tests, to need no network.
    # A folder named in a .pth file is searched last, and .pth files in it, such as the one that
    # makes the checkout importable, are not read.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


@pytest.fixture(scope="module")
def installed(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python in an environment that has the wheel, from a folder that has nothing."""
    empty = tmp_path_factory.mktemp("nothing")

    def python_elsewhere(*arguments: str) -> str:
        return run(python, *arguments, cwd=empty)

    return python_elsewhere


def test_it_holds_the_packages_and_their_data_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        names = archive.namelist()
    packages = set(PYPROJECT["tool"]["importlinter"]["root_packages"])
    plugin = {f"{name}.py" for name in PYPROJECT["project"]["entry-points"]["pytest11"].values()}
    about = {f"artifact_coherence-{PYPROJECT['project']['version']}.dist-info"}
    assert tops == packages | plugin | about
    shipped = {
        Path(name).name for name in names if name.startswith("coherence/simulate/scenarios/")
    }
    assert shipped == {path.name for path in (ROOT / "simulations/scenarios").glob("*.toml")}
    assert any(name.endswith("licenses/LICENSE") for name in names)


#: The console may add so much to the wheel.
CONSOLE_BYTES_MAX = 150_000


def test_it_holds_all_of_the_console_and_stays_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            each.filename: each.compress_size
            for each in archive.infolist()
            if each.filename.startswith("coherence_console/")
        }
    static = ROOT / "coherence_console" / "static"
    files = {str(path.relative_to(ROOT)) for path in static.rglob("*") if path.is_file()}
    assert files - set(packed) == set()
    assert "coherence_console/static/vendor/LICENSES.txt" in files
    assert sum(packed.values()) < CONSOLE_BYTES_MAX


@pytest.mark.slow
@pytest.mark.parametrize("package", PYPROJECT["tool"]["importlinter"]["root_packages"])
def test_a_package_comes_from_the_wheel(installed, package):
    # Found, not imported: an adapter needs its framework.
    find = f"from importlib.util import find_spec; print(find_spec({package!r}).origin)"
    origin = installed("-c", find).strip()
    prefix = installed("-c", "import sys; print(sys.prefix)").strip()
    assert Path(origin).is_relative_to(prefix)


@pytest.mark.slow
def test_it_lists_the_scenarios_that_travel_with_it(installed):
    listing = installed("-m", "coherence.simulate", "list")
    missing = [
        path.stem
        for path in (ROOT / "simulations/scenarios").glob("*.toml")
        if path.stem not in listing
    ]
    assert missing == []


@pytest.mark.slow
def test_pytest_finds_the_plugin(installed):
    assert "@pytest.mark.explore(" in installed("-m", "pytest", "--markers")


@pytest.mark.slow
def test_it_does_the_main_job(installed):
    assert "planning" in installed("-m", "coherence.simulate", "run", "planning", "--runs", "1")


USER = (Path(__file__).parent / "user_program.py").read_text(encoding="utf-8")
CHECKERS = {
    "mypy": ("--strict", "--python-executable"),
    "pyright": ("--pythonpath",),
}


def check_types(checker: str, python: Path, program: str, folder: Path) -> str:
    """What a type checker says of a program, which it reads against the wheel."""
    pytest.importorskip(checker)
    if checker == "pyright" and shutil.which("node") is None:
        pytest.skip("pyright needs node")
    (folder / "user.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", checker, *CHECKERS[checker], str(python), "user.py"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_program_of_a_user_is_typed(checker, python, tmp_path):
    said = check_types(checker, python, USER, tmp_path)
    assert re.search(r"no issues found|^0 errors, 0 warnings", said, re.MULTILINE), said
    wrong = USER.replace("view.text", "view.txet")
    assert "txet" in check_types(checker, python, wrong, tmp_path)


@pytest.mark.slow
def test_a_program_of_a_user_runs_without_a_warning(installed, tmp_path):
    (tmp_path / "user.py").write_text(USER, encoding="utf-8")
    assert installed("-W", "error", str(tmp_path / "user.py")) == "3 16 b'use plan B'\nHOLDS\n"


def test_the_metadata_are_true(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith("/METADATA")]
        metadata = archive.read(name).decode()
    assert "Author: " in metadata
    assert "Classifier: Operating System :: POSIX :: Linux" in metadata
