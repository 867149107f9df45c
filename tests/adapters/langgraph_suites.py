"""LangGraph's own tests of its stores, plain and on the same stores wrapped in CoherentStore.

Each suite of a checkout of langgraph runs in a process of its own, first as it is and then with the
plugin `langgraph_wrapping`, which leaves the tests as they are.  A case that passes plain has to
pass wrapped, unless a reason why it cannot is known here.  `deepagents_suites.py` does the same
with the tests of deepagents.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

EXAMPLE = """
example:
    git clone --depth 1 https://github.com/langchain-ai/langgraph
    pip install pytest-asyncio pytest-mock aiosqlite sqlite-vec psycopg-pool
    pip install langgraph-checkpoint-sqlite langgraph-checkpoint-postgres
    python tests/adapters/langgraph_suites.py langgraph
"""


class Suite(NamedTuple):
    """Tests of one package, under `libs`, and the modules that they need."""

    name: str
    package: str
    files: tuple[str, ...]
    needs: tuple[str, ...] = ()
    without: str = "nothing"
    on_postgres: bool = False


SUITES = (
    Suite("memory", "checkpoint", ("test_store.py",), ("pytest_mock",)),
    Suite(
        "sqlite",
        "checkpoint-sqlite",
        ("test_store.py", "test_async_store.py", "test_ttl.py"),
        ("langgraph.store.sqlite", "aiosqlite", "sqlite_vec"),
    ),
    Suite(
        "postgres",
        "checkpoint-postgres",
        ("test_store.py", "test_async_store.py"),
        ("langgraph.store.postgres", "psycopg_pool"),
        without="vector or halfvec",  # the extension pgvector is not everywhere
        on_postgres=True,
    ),
)

#: Cases that may pass plain and fail wrapped, and why.
KNOWN = {
    r"test_ttl\.py::test_(ttl_refresh|async_asearch_refresh_ttl)$": "fails on the plain store too, "
    "by the phase of the clock at which it begins: SQLite expires at whole seconds",
}


class Upstream(NamedTuple):
    """The tests of a framework, and how they run on ours."""

    description: str
    example: str
    #: A folder by which a checkout is known.
    has: str
    #: The plugin that puts ours in the place of the framework's.
    plugin: str
    suites: tuple[Suite, ...]
    known: dict[str, str]


LANGGRAPH = Upstream(
    __doc__.partition("\n")[0],
    EXAMPLE,
    "libs/checkpoint/tests",
    "langgraph_wrapping",
    SUITES,
    KNOWN,
)


def main(given=None, upstream=LANGGRAPH):
    arguments = parsed(given, upstream)
    with ExitStack() as stack:
        address = server(stack) if any(suite.on_postgres for suite in arguments.suites) else None
        rows = [row(suite, arguments, address) for suite in arguments.suites]
    if arguments.json:
        say(json.dumps({"commit": commit(arguments.checkout), "suites": rows}, indent=2))
    else:
        show(rows, arguments.workspace)
    return int(any(unknown(row) for row in rows))


def parsed(given, upstream):
    parser = argparse.ArgumentParser(
        description=upstream.description,
        epilog=upstream.example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkout", type=Path, help="a checkout; it is not changed")
    names = {suite.name: suite for suite in upstream.suites}
    parser.add_argument("--suite", action="append", choices=names, help="this one only; repeatable")
    parser.add_argument(
        "--workspace",
        choices=["memory", "sqlite"],
        default="memory",
        help="where the wrapped stores have their workspace (memory)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--limit-s", type=int, default=300, help="ends a case that hangs (300)")
    parser.add_argument("-n", "--processes", type=int, default=1, help="run cases at once (1)")
    arguments = parser.parse_args(given)
    arguments.upstream = upstream
    arguments.suites = [
        suite for suite in names.values() if not arguments.suite or suite.name in arguments.suite
    ]
    if not (arguments.checkout / upstream.has).is_dir():
        parser.error(f"no {upstream.has} in {arguments.checkout}")
    return arguments


def row(suite, arguments, address):
    """What became of the cases of `suite`, plain and wrapped."""
    made = {"suite": suite.name, "not_run": lacks(suite, address)}
    if made["not_run"]:
        return made
    forms = ([], ["--wrapped", arguments.workspace])
    plain, wrapped = (outcomes(suite, arguments, address, form) for form in forms)
    passed = [case for case in plain if plain[case]["outcome"] == "passed"]
    lost = {}
    for case in passed:
        found = wrapped.get(case, {"outcome": "missing", "why": "no such case"})
        if found["outcome"] != "passed":
            lost[case] = {"why": found["why"], "known": reason(case, arguments.upstream.known)}
    return made | {
        "cases": len(plain),
        "plain_passed": len(passed),
        "wrapped_passed": sum(found["outcome"] == "passed" for found in wrapped.values()),
        "plain_failed": {c: f["why"] for c, f in plain.items() if f["outcome"] == "failed"},
        "lost": lost,
    }


def lacks(suite, address):
    """Why `suite` cannot run here, empty if it can."""
    missing = [name for name in ("pytest_asyncio", *suite.needs) if not there(name)]
    if missing:
        return "not installed: " + ", ".join(missing)
    return "no PostgreSQL server is installed" if suite.on_postgres and address is None else ""


def there(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def outcomes(suite, arguments, address, form):
    """Run `suite`; case -> outcome and why."""
    with tempfile.TemporaryDirectory(prefix="suites-") as folder:
        # A copy: beside the tests lies the checkout's `langgraph`, which would hide the installed.
        shutil.copytree(
            arguments.checkout / "libs" / suite.package / "tests", Path(folder, "tests")
        )
        Path(folder, "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", encoding="utf-8")
        report = Path(folder, "outcomes.json")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["-p", arguments.upstream.plugin, "--outcomes", str(report), *form]
        command += [
            "--timeout",
            str(arguments.limit_s),
            "-k",
            f"not ({suite.without or 'nothing'})",
        ]
        if arguments.processes > 1:
            command += ["-n", str(arguments.processes)]
        if address:
            command += ["--postgres", address]
        command += [f"tests/{name}" for name in suite.files]
        paths = [str(ROOT), str(ROOT / "adapters"), str(HERE), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if not report.exists():
            raise SystemExit(f"pytest ended without outcomes:\n{ran.stdout}\n{ran.stderr}")
        return json.loads(report.read_text(encoding="utf-8"))


def server(stack):
    """The address of a server of our own, None where PostgreSQL is not installed."""
    sys.path.insert(0, str(ROOT / "tests"))
    import postgres_server

    found = postgres_server.programs()
    if found is None:
        return None
    started = postgres_server.Server(found)
    stack.callback(started.close)
    # LangGraph's tests split the address at its slashes.
    where, _, question = started.url().partition("?")
    folder = question.partition("&")[0].replace("/", "%2F")
    return f"{where}?{folder}"


def reason(case, known):
    return next((why for pattern, why in known.items() if re.search(pattern, case)), None)


def unknown(row):
    return [case for case, found in row.get("lost", {}).items() if found["known"] is None]


def say(line):
    sys.stdout.write(line + "\n")


def commit(checkout):
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def show(rows, workspace):
    line = "{:<10} {:<8} {:>6} {:>13} {:>15} {:>6}".format
    say(line("suite", "form", "cases", "plain passed", "wrapped passed", "lost"))
    for row in rows:
        if row["not_run"]:
            say(f"{row['suite']:<10} not run: {row['not_run']}")
            continue
        counts = (row["cases"], row["plain_passed"], row["wrapped_passed"], len(row["lost"]))
        say(line(row["suite"], workspace, *counts))
    for row in rows:
        for case, found in row.get("lost", {}).items():
            say(f"\n{case}\n    {found['why']}")
            say(f"    known: {found['known']}" if found["known"] else "    NOT KNOWN")


if __name__ == "__main__":
    sys.exit(main())
