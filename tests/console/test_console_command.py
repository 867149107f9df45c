"""The command: one URL, a clean end, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from console_client import Running

from coherence import BadArgument
from coherence_console import cli
from coherence_console.cli import app
from coherence_console.context import Context
from coherence_console.server import Console

PROGRAM = "from coherence_console.cli import app; app(prog_name='coherence console')"


def started(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.fixture
def ended(capsys, monkeypatch):
    """Runs a command that ends by itself, in this process: its exit code and what it wrote."""
    monkeypatch.delenv("COHERENCE_STORE", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            app(arguments, prog_name="coherence console")
        return (end.value.code, *capsys.readouterr())

    return run


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_one_url_and_ends_cleanly_with_open_streams(team, url, number):
    process = started("--store", url)
    address = process.stdout.readline().strip()
    base, _, token = address.partition("/#token=")
    running = Running.__new__(Running)
    running.port, running.token = int(base.rpartition(":")[2]), token
    assert base == f"http://127.0.0.1:{running.port}"
    streams = [running.stream() for _ in range(3)]
    assert [stream.next()[0] for stream in streams] == ["team"] * 3
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    for stream in streams:
        while stream.next() is not None:
            pass
        stream.close()


def test_help_has_examples(ended):
    code, out, _ = ended("--help")
    assert code == 0
    assert "coherence console --store sqlite:///team.db" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--store", "sqlite:///{folder}/none.db"], 3, "store-missing"),
        (["--store", "team.db"], 2, "bad-url"),
        (["--host", "0.0.0.0"], 2, "ssh -L"),
        (["--host", "example.org"], 2, "bad-argument"),
        (["--set", "caches"], 2, "such as --set caches=3"),
        (["--port", "99999"], 2, "usage"),
        (["--hz", "1000"], 2, "usage"),
    ],
)
def test_a_wrong_call_is_refused(ended, tmp_path, arguments, code, said):
    done, out, err = ended(*(each.format(folder=tmp_path) for each in arguments))
    assert (done, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_a_port_that_is_taken(ended):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, out, err = ended("--port", str(taken.getsockname()[1]))
    assert (code, out) == (3, "")
    assert "in use" in err


def test_without_the_extra_it_says_what_to_install(ended, monkeypatch):
    monkeypatch.delitem(sys.modules, "coherence_console.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = ended()
    assert code == 3
    assert "pip install 'starlette>=1.0,<2' 'uvicorn>=0.34'" in err


def test_the_command_loads_no_server_for_its_help():
    loaded = "import sys; from coherence_console import cli; print('uvicorn' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True)
    assert process.stdout == b"False\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "::1"])
def test_addresses_of_this_machine(host):
    try:
        console = Console(Context(), host=host)
    except OSError:
        pytest.skip(f"{host} is not an address of this machine")
    console.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "example.org", "127.0.0.1:80"])
def test_other_addresses_are_refused(host):
    with pytest.raises(BadArgument, match="not encrypted"):
        Console(Context(), host=host)


def test_a_label_says_no_password(monkeypatch):
    class Store:
        def close(self) -> None:
            pass

    monkeypatch.setattr(cli, "open_store", lambda *_, **__: Store())
    secret = "postgresql://me:secret@db.example:5432/team?sslmode=require&password=secret"
    assert cli._source(secret).label == "db.example:5432/team"
    assert cli._source("postgresql:///team?user=me").label == "team"
    assert cli._source("sqlite:////a/folder/team.db").label == "team.db"
