"""The examples in docs/causal.md run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOC = Path(__file__).parents[2] / "docs" / "causal.md"


EXAMPLES = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(example: str) -> None:
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_modules_it_names_exist() -> None:
    named = re.findall(r"`((?:causal|specs|tests)/[\w/]+\.py)`", DOC.read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (DOC.parents[1] / name).exists()] == []
