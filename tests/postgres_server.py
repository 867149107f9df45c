"""A PostgreSQL server for tests: in a folder and on a Unix socket of its own.

It refuses to run as root, so root starts it as another user.  Where it is not installed the tests
that ask for it are skipped; under CI they fail.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

MISSING = "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 250
shared_buffers = 16MB
# No machine crashes here, and the page cache outlives the server.
fsync = off
# Tests tangle rows on purpose.
deadlock_timeout = 50ms
"""


class Server:
    """One server.  What it holds outlives `stop`."""

    def __init__(self, programs: Path, primary: "Server | None" = None) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._as: dict[str, object] = {}
        self._schemas = count(1)
        if os.getuid() == 0:
            user = _unprivileged()
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._data = self._folder / "data"
        if primary is None:
            self._make()
        else:
            self._copy(primary)
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS.format(folder=self._folder))
        self.start()

    def start(self) -> None:
        """Start it and return when it takes connections."""
        self._call("pg_ctl", "start", "-w", "-D", self._data, "-l", self._folder / "log")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` in good order, `immediate` as a crash would."""
        self._call("pg_ctl", "stop", "-w", "-D", self._data, "-m", mode)

    def close(self) -> None:
        """Stop it and remove what it held."""
        with suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, schema: str = "public", database: str = "postgres") -> str:
        """The address of a schema in it."""
        where = f"host={self._folder}&options=-csearch_path%3D{schema}"
        return f"postgresql://tester@/{database}?{where}"

    def fresh(self) -> str:
        """The address of a workspace that nobody has used."""
        schema = f"workspace_{next(self._schemas)}"
        self.run(f"CREATE SCHEMA {schema}")
        return self.url(schema)

    def run(self, statement: str, url: str | None = None) -> list[tuple[object, ...]]:
        """Carry out a statement as the database's owner."""
        import psycopg

        with psycopg.connect(url or self.url(), autocommit=True) as conn:
            cursor = conn.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def cut(self) -> int:
        """Cut every connection, wait until each is gone, and say how many there were."""
        cut = self.run(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return len(cut)

    def standby(self) -> "Server":
        """A hot standby that follows this server."""
        return Server(self._programs, self)

    def promote(self) -> None:
        """End the recovery of a standby: it counts on in a timeline of its own."""
        self._call("pg_ctl", "promote", "-w", "-D", self._data)

    def _make(self) -> None:
        initdb = ("initdb", "-D", self._data, "-U", "tester", "-A", "trust", "-E", "UTF8")
        self._call(*initdb, "--no-locale", "-N")

    def _copy(self, primary: "Server") -> None:
        where = ("-D", self._data, "-h", primary._folder, "-U", "tester")
        self._call("pg_basebackup", *where, "-R", "-N", "-c", "fast")

    def _call(self, program: str, *arguments: object) -> None:
        # To a file: a pipe would stay open for as long as the server that inherits it lives.
        with (self._folder / "calls").open("ab") as said:
            subprocess.run(
                [str(self._programs / program), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self._folder,
                check=True,
                timeout=100,
                **self._as,
            )


def programs() -> Path | None:
    """The folder of the server's programs, newest first."""
    in_path = shutil.which("postgres")
    places = [Path(in_path).resolve().parent] if in_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise LookupError("no user to run PostgreSQL as: it refuses to run as root")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server for the session.  Who stops it starts it again."""
    found = programs()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = Server(found)
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres: Server) -> str:
    """The address of a workspace that nobody has used."""
    return postgres.fresh()
