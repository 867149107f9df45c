"""What every command line shares: exit codes of errors, modules to import, writing."""

import sys

import pytest

from message_passing.console import (
    INTERRUPTED,
    NoSuchModule,
    import_modules,
    reported,
    say,
    show,
)
from message_passing.errors import CallerError, Defect, EnvironmentFault


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CallerError("no such file", remedy="name one"), 2),
        (EnvironmentFault("the disk is full"), 1),
        (Defect("a broken promise"), 1),
        (OSError("no such device"), 1),
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


def test_parts_are_written_below_each_other(capsys):
    say("plan \u2192 done")
    assert capsys.readouterr().out == "plan \u2192 done\n"
    show("a", "b", file_width=20)
    assert capsys.readouterr().out == "a\nb\n"
