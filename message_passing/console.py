"""Shared by every command line: output, progress, exit codes of errors, modules to import.

It loads the standard library alone until it shows a table, so that each command starts quickly.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from message_passing.errors import CallerError, EnvironmentFault, ToolkitError

#: The exit code of a command that was interrupted, as shells have it.
INTERRUPTED = 130


class NoSuchModule(CallerError):
    """A module that the command was told to import cannot be imported."""


def import_modules(names: Iterable[str]) -> None:
    """Import modules of the caller, from the working directory too.  Raises `NoSuchModule`."""
    for name in names:
        if "" not in sys.path:
            sys.path.insert(0, "")
        try:
            import_module(name)
        except ImportError as error:
            raise NoSuchModule(
                f"{name} cannot be imported: {error}", remedy="name a module"
            ) from error


#: Whether standard error shows a line of progress.
_progress_shown = False


def shows_progress() -> bool:
    """Whether standard error is a terminal that can erase a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def progress(text: str) -> None:
    """Show `text` in place of the last line of progress, cut to the terminal's width.

    Nothing is shown where standard error is not a terminal.  The next output erases the line.
    """
    global _progress_shown
    if not shows_progress():
        return
    from rich.cells import cell_len, set_cell_size

    # A line that fills the last column would wrap on some terminals.
    width = max(_stderr_columns() - 1, 1)
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    sys.stderr.write(f"\r\x1b[K{text}")
    sys.stderr.flush()
    _progress_shown = True


def erase_progress() -> None:
    """Erase the line of progress, if there is one."""
    global _progress_shown
    if _progress_shown:
        _progress_shown = False
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _stderr_columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def write(text: str) -> None:
    """Write to standard output; a reader that closed the pipe is not an error."""
    erase_progress()
    out = sys.stdout
    encoding = out.encoding or "utf-8"
    try:
        out.write(text.encode(encoding, errors="replace").decode(encoding))
        out.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EINVAL):
            raise
        # Buffered text would fail again when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def say(text: str) -> None:
    """Write one line to standard output."""
    write(text + "\n")


def complain(text: str) -> None:
    """Write one line to standard error."""
    erase_progress()
    sys.stderr.write(text + "\n")


def terminal_width() -> int | None:
    """The width of the output; None in a file, where nothing is cut or folded."""
    return columns(0) or None


def columns(file_width: int) -> int:
    """The width of the output: the terminal's, or `file_width` in a file.

    `FORCE_COLOR` makes a file a terminal, as it does for rich, and `COLUMNS` gives its width.
    """
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        return max(shutil.get_terminal_size().columns, 20)
    return file_width


def show(*parts: Any, file_width: int, markup: bool = True, keys: int = 0) -> None:
    """Write what rich can render, as wide as `columns` says; colours on a terminal alone.

    With `keys` a table that is too wide becomes several, each with that many of its columns.
    """
    # Imported here: commands that print no tables do not load it.
    from rich.console import Console
    from rich.table import Table

    from message_passing.tables import folded

    width = columns(file_width)
    pieces: list[Any] = []
    for part in parts:
        pieces += folded(part, width, keys) if keys and isinstance(part, Table) else [part]
    console = Console(width=width, highlight=False, emoji=False, markup=markup)
    with console.capture() as captured:
        for number, part in enumerate(pieces):
            if keys and number and isinstance(pieces[number - 1], Table):
                console.print()
            # A pipe gets lines that are not broken.
            console.print(part, soft_wrap=isinstance(part, str) and not console.is_terminal)
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def shortened(text: str, width: int, keep: int = 0) -> str:
    """`text` in at most `width` cells, cut in the middle; its last `keep` characters stay.

    The last part of a path is kept whole if it takes at most four fifths of the room.
    """
    from rich.cells import cell_len, chop_cells, set_cell_size

    if cell_len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    room = width - 1
    last = cell_len(text[max(text.rfind("/"), 0) :])
    back = min(max(last if last <= room * 4 // 5 else (room + 1) // 2, keep), room)
    end = chop_cells(text[::-1], back)[0][::-1] if back else ""
    front = set_cell_size(text, room - cell_len(end)).rstrip()
    return f"{front}…{end}"


def told(error: ToolkitError | OSError) -> tuple[str, int]:
    """`error` as one line, ``CODE: MESSAGE (REMEDY)``, and the exit code: 2 for the caller's fault.

    The exit code is 3 for any other.
    """
    if isinstance(error, ToolkitError):
        return f"{error.code}: {error}", 2 if isinstance(error, CallerError) else 3
    where = f"{error.filename}: " if error.filename else ""
    return f"{EnvironmentFault.code}: {where}{error.strerror or error}", 3


@contextmanager
def reported(told: Callable[[ToolkitError | OSError], tuple[str, int]] = told) -> Iterator[None]:
    """An error ends the command with the line and the exit code that `told` gives for it."""
    try:
        yield
    except (ToolkitError, OSError) as error:
        line, code = told(error)
        complain(line)
        raise SystemExit(code) from None
    except KeyboardInterrupt:
        complain("interrupted: nothing was printed that is not complete")
        raise SystemExit(INTERRUPTED) from None


def imported(modules: list[str] | None) -> list[str] | None:
    """Import `modules` while the command line is parsed; an error ends the command."""
    with reported():
        import_modules(modules or ())
    return modules
