"""A store that its user may read and not write: at rest, in use, and as one becomes the other.

The system lets root write anywhere, so what may not write is a process that has become another
user.  Where the tests are not run by root, permissions are taken away from the files instead, and
what needs a second user is left out.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from coherence import Workspace
from coherence.stores import sqlite_file

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
NOBODY = 65534

READER = """
import json, os, sys, tempfile
from coherence import Workspace
from coherence.cli import app
from coherence.errors import StoreFault
from coherence.stores.port import Place
from coherence.stores.sqlite import SqliteStore
from typer.testing import CliRunner
user = int(sys.argv[1])
# Once as the first user, who may read the modules that are loaded only when they are needed.
with tempfile.TemporaryDirectory() as folder:
    url = f"sqlite:///{folder}/first.db"
    with Workspace(url) as workspace:
        workspace.agent("ann").write("plan.md", "one")
    for words in (
        ["status"], ["log"], ["show", "plan.md"], ["diff", "plan.md@1"], ["check"],
        ["export", folder + "/out"],
    ):
        assert CliRunner().invoke(app, [*words, "--store", url]).exit_code == 0
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
store = file = None

def at(path):
    global file
    if store is not None:
        store.close()
    file = path

def opened():
    global store
    store = SqliteStore(file, readonly=True)

def read():
    names = store.names()
    return {name: store.read(name, store.row(name).row.state.version)[1] for name in names}

def command(*words):
    done = CliRunner().invoke(app, [words[0], "--store", "sqlite:///" + file, *words[1:]])
    return [done.exit_code, done.stdout]

calls = {
    "at": at,
    "open": opened,
    "read": read,
    "mark": lambda: store.mark(),
    "news": lambda: [change.artifact for change in store.since(Place(0)).entries],
    "audit": lambda: list(store.check()),
    "rests": lambda: store._connections.file.rests,
    "close": lambda: store.close(),
    "write": lambda: open(file, "ab"),
}
print("ready", flush=True)
for line in sys.stdin:
    name, *words = json.loads(line)
    try:
        found = calls[name](*words) if name in calls else command(name, *words)
    except (StoreFault, PermissionError) as error:
        found = type(error).__name__
    print(json.dumps(found), flush=True)
"""


@pytest.fixture
def folder():
    """One that others may enter and read, as pytest's own may not."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


@pytest.fixture
def file(folder):
    """A closed store."""
    with Workspace(f"sqlite:///{folder}/team.db") as workspace:
        workspace.agent("ann").write("plan.md", "one")
    return folder / "team.db"


@pytest.fixture(scope="module")
def stranger():
    """A process of a user who may not write what is not its own, and what to ask it."""
    command = [sys.executable, "-c", READER, str(NOBODY if ROOT else 0)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def ask(*words):
            process.stdin.write(msgspec.json.encode(words).decode() + "\n")
            process.stdin.flush()
            return msgspec.json.decode(process.stdout.readline())

        yield ask
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.fixture
def reader(file, stranger):
    """The same, who turns to this test's file."""
    if not ROOT:
        file.chmod(0o444)
        file.parent.chmod(0o555)
    stranger("at", str(file))
    assert stranger("write") == "PermissionError"
    return stranger


def beside(file):
    """The log of the file, and its index."""
    return [name for name in os.listdir(file.parent) if name.endswith(("-wal", "-shm"))]


needs_two_users = pytest.mark.skipif(not ROOT, reason="only root can become another user")
needs_locks = pytest.mark.skipif(
    sqlite_file._OFD_SETLK is None, reason="no lock here is of an open file"
)
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "setuid"), reason="users have no numbers here"),
    needs_locks,
]


@pytest.mark.slow
def test_at_rest(file, reader):
    assert reader("open") is None
    assert reader("rests")
    assert reader("read") == {"plan.md": "one"}
    assert reader("mark") == reader("mark")
    assert reader("news") == ["", "plan.md"]
    assert reader("audit") == []
    reader("close")
    assert beside(file) == [], "nothing is written beside it"


def test_all_commands_that_look(file, reader):
    for words in (["status"], ["log"], ["show", "plan.md"], ["check"], ["diff", "plan.md@1"]):
        code, shown = reader(*words)
        assert code == 0, words
        assert words[0] in ("diff", "check") or "plan.md" in shown or "one" in shown
    with tempfile.TemporaryDirectory() as out:
        os.chmod(out, 0o777)
        assert reader("export", out)[0] == 0
        assert Path(out, "plan.md").read_text() == "one"
    assert beside(file) == []


@needs_two_users
def test_while_another_writes(file, reader):
    with Workspace(f"sqlite:///{file}") as workspace:
        ann = workspace.agent("ann")
        for number in range(5):
            ann.write("plan.md", f"{number} " * 4000, overwrite=True)
            if not number:
                assert reader("open") is None
                assert not reader("rests")
                marks = [reader("mark")]
            assert reader("read") == {"plan.md": f"{number} " * 4000}
            marks.append(reader("mark"))
        assert len(set(marks[1:])) == 5
        assert reader("audit") == []
    assert reader("read") == {"plan.md": "4 " * 4000}


@needs_two_users
@pytest.mark.parametrize("closes", [False, True])
def test_at_rest_until_another_writes(file, reader, closes):
    reader("open")
    mark = reader("mark")
    assert reader("read") == {"plan.md": "one"}
    workspace = Workspace(f"sqlite:///{file}")
    workspace.agent("ann").write("plan.md", "two " * 4000, overwrite=True)
    workspace._site.store._connections.writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
    if closes:
        workspace.close()
    assert reader("mark") != mark
    assert reader("read") == {"plan.md": "two " * 4000}
    assert not reader("rests")
    if not closes:
        workspace.agent("ann").write("plan.md", "three")
        assert reader("read") == {"plan.md": "three"}
        workspace.close()
    with Workspace(f"sqlite:///{file}") as again:
        again.agent("ann").write("plan.md", "four", overwrite=True)
        assert reader("read") == {"plan.md": "four"}
        assert again.check() == []


@needs_two_users
def test_what_a_query_found_while_another_began_to_write_is_found_again(file, reader):
    """The file was changed under a reader that takes it for immutable: its answer is not given."""
    reader("open")
    with Workspace(f"sqlite:///{file}") as workspace:
        ann = workspace.agent("ann")
        for number in range(300):
            ann.write(f"n{number}.md", f"{number} " * 100)
        workspace._site.store._connections.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = reader("read")
    assert found == {"plan.md": "one"} | {f"n{n}.md": f"{n} " * 100 for n in range(300)}


@needs_two_users
def test_what_a_process_that_was_killed_has_left(file, reader):
    code = (
        "import os, sys\n"
        "from coherence import Workspace\n"
        "ann = Workspace('sqlite:///' + sys.argv[1]).agent('ann')\n"
        "ann.write('plan.md', 'two', overwrite=True)\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)
    assert (file.parent / "team.db-wal").stat().st_size
    assert reader("open") is None
    assert reader("read") == {"plan.md": "two"}
    with Workspace(f"sqlite:///{file}") as workspace:
        workspace.agent("ann").write("plan.md", "three", overwrite=True)
        assert reader("read") == {"plan.md": "three"}


@needs_two_users
def test_a_log_without_an_index_needs_one_who_may_write(file, reader):
    code = (
        "import os, sys\n"
        "from coherence import Workspace\n"
        "ann = Workspace('sqlite:///' + sys.argv[1]).agent('ann')\n"
        "ann.write('plan.md', 'two', overwrite=True)\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)
    (file.parent / "team.db-shm").unlink()
    assert reader("open") == "StoreReadOnly"
    with Workspace(f"sqlite:///{file}") as workspace:
        assert workspace.agent("ann").read("plan.md").text == "two"
        assert reader("open") is None
        assert reader("read") == {"plan.md": "two"}


@needs_two_users
def test_a_folder_that_may_be_written_does_not_get_files_of_the_wrong_owner(file, reader):
    """A log that the reader makes would be the reader's, and keep the owner of the store out."""
    file.parent.chmod(0o777)
    assert reader("open") is None
    assert reader("read") == {"plan.md": "one"}
    assert beside(file) == []


@pytest.mark.slow
@needs_two_users
def test_a_file_that_may_not_be_read(file, reader):
    file.chmod(0o600)
    assert reader("open") in ("StoreMissing", "StoreReadOnly")
    file.chmod(0o644)
    file.parent.chmod(0o700)
    assert reader("open") in ("StoreMissing", "StoreReadOnly")


@pytest.mark.slow
def test_a_file_that_has_no_log_at_all(file, reader, folder):
    """As a backup has none: SQLite reads it under its own locks."""
    folder.chmod(0o755)
    file.chmod(0o644)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    if not ROOT:
        file.chmod(0o444)
        folder.chmod(0o555)
    assert reader("open") is None
    assert not reader("rests")
    assert reader("read") == {"plan.md": "one"}
    if ROOT:
        with Workspace(f"sqlite:///{file}") as workspace:
            workspace.agent("ann").write("plan.md", "two", overwrite=True)
            assert reader("read") == {"plan.md": "two"}
