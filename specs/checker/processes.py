"""The processes of a divided search, and the commands to them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specs.checker import part
from specs.checker.errors import UsageError
from specs.checker.interrupts import interrupts_held


class Processes:
    """The processes of a divided search.  A call sends a command to each and takes its answer."""

    def __init__(self, count: int) -> None:
        self.memory_mib = 0.0
        command = [sys.executable, "-I", "-S", str(Path(part.__file__))]
        with interrupts_held():
            # A session of its own: Ctrl-C of the terminal is for this process to answer.
            self._processes = [
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
                for _ in range(count)
            ]
        for number, process in enumerate(self._processes):
            assert process.stdin is not None
            part.send(process.stdin, (number, count))

    def __len__(self) -> int:
        return len(self._processes)

    def __call__(self, name: str, *arguments: Any) -> list[Any]:
        """The same command to all."""
        return self.each(name, [arguments] * len(self))

    def each(self, name: str, arguments: Sequence[Sequence[Any]]) -> list[Any]:
        """One command to each, with arguments of its own; the answers in the same order."""
        with interrupts_held():
            try:
                for process, given in zip(self._processes, arguments, strict=True):
                    assert process.stdin is not None
                    part.send(process.stdin, (name, *given))
                answers = []
                for process in self._processes:
                    assert process.stdout is not None
                    answers.append(part.receive(process.stdout))
            except (EOFError, OSError):
                raise UsageError(
                    "a process of the search was killed",
                    remedy="fewer workers, or a budget of memory",
                ) from None
        self.memory_mib = sum(resident for _, resident in answers)
        return [answer for answer, _ in answers]

    def end(self) -> None:
        """End all processes."""
        with interrupts_held():
            for process in self._processes:
                process.kill()
            for process in self._processes:
                process.communicate()
