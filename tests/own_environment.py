"""An environment beside the one that runs the tests, for packages that cannot be in it.

CrewAI needs ``openai`` below 3 and ``mcp`` below 2.  The extra `apart` of pyproject.toml has the
frameworks that need later releases, and what their tests need.  Where they cannot be installed,
the tests that ask for them are skipped; under CI they fail.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".venv-apart"
#: For a test that may be the first to make an environment, on a busy machine.
TIMEOUT_S = 900


def own_environment(*packages: str) -> Path:
    """The interpreter of an environment with the checkout, its extra `apart`, and `packages`.

    It is made by the first call, of whichever process, and again once the project's table in
    pyproject.toml has changed.  `packages` are requirements, such as ``mcp==2.0.0``.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = ENVIRONMENTS / ("-".join(packages).replace("/", "_") or "newest")
    python, stamp = folder / "bin/python", folder / "holds"
    held = hashlib.sha256(json.dumps([project, packages, sys.version]).encode()).hexdigest()
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != held:
            venv.create(folder, clear=True, symlinks=True, with_pip=True)
            install = [python, "-m", "pip", "install", "-q", "-e", f"{ROOT}[apart]", *packages]
            done = _run(install)
            if done.returncode:
                said = f"{' '.join(map(str, install))}\n{done.stdout}{done.stderr}"
                (pytest.fail if os.environ.get("CI") else pytest.skip)(said)
            stamp.write_text(held, encoding="utf-8")
    return python


def run_tests_apart(*tests: Path | str, packages: tuple[str, ...] = ()) -> str:
    """What pytest says of `tests`, run in `own_environment(*packages)`: fast and slow ones.

    Fails if one of them does, or if none is run.
    """
    command = [own_environment(*packages), "-m", "pytest", "-q", "-m", "slow or not slow"]
    done = _run([*command, "-p", "no:cacheprovider", *tests])
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert " passed" in said, said
    return said


def _run(command: list[Path | str]) -> "subprocess.CompletedProcess[str]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PY")}
    return subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        env=clean | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
