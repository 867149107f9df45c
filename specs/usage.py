"""What the commands say of themselves: examples for their help, and the form of errors."""

from __future__ import annotations

import argparse
from typing import NoReturn

from message_passing.console import complain


class Parser(argparse.ArgumentParser):
    """Reports wrong usage as every other command does, ``CODE: MESSAGE (REMEDY)``."""

    def add_import(self, dest: str) -> None:
        """Add the option that imports modules of the user first."""
        self.add_argument(
            "--import",
            dest=dest,
            metavar="MODULE",
            action="append",
            default=[],
            help="import it first, from the working directory too: its policies, machines and "
            "models get names",
        )

    def error(self, message: str) -> NoReturn:
        """End the command with code 2."""
        complain(f"usage: {message} (`--help` describes the call)")
        raise SystemExit(2)


ENDS = """\
Exit codes: 0 HOLDS or as pinned, 1 VIOLATED or not as pinned, 2 a wrong call or a model that
cannot be explored, 3 UNDETERMINED, 130 interrupted (the results so far are printed)."""

NAMES = """\
A NAME is a shipped model (see `list`), FILE.py, FILE.py:MODEL, or package.module:MODEL. MODEL may
be a function: its parameters are options. `check NAME --help` lists them."""

EXAMPLES: dict[str, str] = {
    "list": """\
  {prog} list                     all shipped models and their pinned results
  {prog} list mesi                those of one model
  {prog} list my_lock.py          the models of a file, with their constants""",
    "check": """\
  {prog} check twophase --rms 5
  {prog} check my_lock.py                         a file with one model
  {prog} check my_lock.py:lock --threads 3        one of several; a constant of the function
  {prog} check my_lock.py --svg path.svg --itf path.itf.json
  {prog} check twophase --rms 9 --workers 2       two threads or processes search
  {prog} check mesi --caches 3 --simulate 1000 --workers 2
  {prog} check twophase --certify verdict.json    for `judge`
  {prog} check all --slow""",
    "judge": """\
  {prog} judge verdict.json
  {prog} judge *.json --states 1000000""",
    "explore": """\
  {prog} explore die-hard
  {prog} explore my_lock.py:lock --threads 3""",
    "recorded": """\
  {prog} recorded runs/*.ndjson
  {prog} recorded runs/plan.ndjson --tlc""",
    "histories": """\
  {prog} histories observations/
  {prog} histories p1.ndjson p2.ndjson --chart
  {prog} histories observations/ --json
  {prog} histories observations/ --mermaid cycle.mmd
  {prog} histories observations/ --edn history.edn    for elle-cli""",
    "tlc": """\
  {prog} tlc MCMesi
  {prog} tlc all""",
    "conform": """\
  {prog} conform MCMesi
  {prog} conform all --slow""",
    "mutants": """\
  {prog} mutants mesi
  {prog} mutants mesi --slow       other next states, too""",
    "prove-any": """\
  {prog} prove-any
  {prog} prove-any --policy strict --property strict_visibility
  {prog} prove-any hybrid --policy all
  {prog} prove-any --broken        the mistakes that the proof refutes""",
    "prove": """\
  {prog} prove
  {prog} prove --slow""",
}


def epilog(command: str, prog: str) -> str:
    """What follows the options in the help of a command."""
    examples = f"examples:\n{EXAMPLES[command].format(prog=prog)}"
    named = [NAMES] if command in ("list", "check", "explore") else []
    return "\n\n".join([*named, examples, ENDS])
