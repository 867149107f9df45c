"""What every command line shares: exit codes of errors, modules to import, writing."""

import io
import os
import re
import sys

import pytest
from rich.cells import cell_len
from rich.table import Table

from message_passing.console import (
    INTERRUPTED,
    NoSuchModule,
    complain,
    import_modules,
    progress,
    reported,
    say,
    shortened,
    show,
)
from message_passing.errors import CallerError, Defect, EnvironmentFault


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CallerError("no such file", remedy="name one"), 2),
        (EnvironmentFault("the disk is full"), 3),
        (Defect("a broken promise"), 3),
        (OSError("no such device"), 3),
        (KeyboardInterrupt(), INTERRUPTED),
    ],
)
def test_an_error_ends_the_command_with_one_line(capsys, error, code):
    with pytest.raises(SystemExit) as ended, reported():
        raise error
    assert ended.value.code == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(error) in err
    assert err.startswith(f"{getattr(error, 'code', 'environment')}: ") or code == INTERRUPTED


def test_a_defect_of_another_kind_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError


def test_modules_are_imported_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "imported_by_a_command.py").write_text("here = True\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    import_modules(["imported_by_a_command"])
    assert sys.modules.pop("imported_by_a_command").here
    with pytest.raises(NoSuchModule, match="no_such_module cannot be imported"):
        import_modules(["no_such_module"])


def terminal_at_stderr(monkeypatch):
    """Make standard error a terminal of twenty columns; return what is written there."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def fileno(self):
            return 2

    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((20, 9)))
    return written


def test_progress_is_one_line_that_output_erases(monkeypatch, capsys):
    terminal = terminal_at_stderr(monkeypatch)
    progress("1/2 plan")
    progress("2/2 plan, with a name that is longer than the terminal")
    progress("東京 in a plan of 東京")
    say("done")
    complain("error")
    say("done")
    assert terminal.getvalue().split("\r\x1b[K") == [
        "",
        "1/2 plan",
        "2/2 plan, with a n…",
        "東京 in a plan of …",
        "error\n",
    ]
    assert capsys.readouterr().out == "done\ndone\n"


@pytest.mark.parametrize("dumb", [True, False])
def test_progress_needs_a_terminal_that_can_erase(monkeypatch, capsys, dumb):
    terminal = terminal_at_stderr(monkeypatch)
    if dumb:
        monkeypatch.setenv("TERM", "dumb")
    else:
        monkeypatch.setattr(terminal, "isatty", lambda: False, raising=False)
    progress("1/2 plan")
    say("done")
    assert terminal.getvalue() == ""


def test_parts_are_written_below_each_other(capsys):
    say("plan \u2192 done")
    assert capsys.readouterr().out == "plan \u2192 done\n"
    show("a", "b", file_width=20)
    assert capsys.readouterr().out == "a\nb\n"


@pytest.mark.parametrize(
    ("width", "keep", "cut"),
    [
        (40, 0, "docs/section-07/engineering/detail.md@12"),
        (30, 3, "docs/section-07/…/detail.md@12"),
        (18, 3, "docs…/detail.md@12"),
        (5, 3, "d…@12"),
        (1, 3, "…"),
        (0, 0, ""),
    ],
)
def test_names_are_cut_in_the_middle(width, keep, cut):
    assert shortened("docs/section-07/engineering/detail.md@12", width, keep) == cut


def test_a_cut_name_counts_cells():
    assert shortened("東京東京東京東京.md@3", 11, 2) == "東京….md@3"


def wide(columns):
    table = Table(*columns)
    for number in range(3):
        table.add_row(*(f"{name} {number}" for name in columns))
    return table


def test_a_table_that_is_too_wide_for_a_terminal_is_folded_and_whole_in_a_file(monkeypatch, capsys):
    columns = [f"column{number}" for number in range(8)]
    monkeypatch.setenv("COLUMNS", "40")
    show(wide(columns), "word " * 20, file_width=200, keys=1)
    table, words = capsys.readouterr().out.rsplit("\n\n", 1)
    assert all(name in table.splitlines()[1] for name in columns)
    assert words.count("\n") == 1, "a pipe gets whole lines"
    monkeypatch.setenv("FORCE_COLOR", "1")
    show(wide(columns), file_width=200, keys=1)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(cell_len, lines)) <= 40
    assert sum("column0 2" in line for line in lines) == 4, "each part tells its rows apart"
    assert all(sum(name in line for line in lines) == 4 for name in columns[1:])
