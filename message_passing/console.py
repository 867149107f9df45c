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

from message_passing.errors import CallerError, ToolkitError

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


def show(*parts: Any, file_width: int) -> None:
    """Write what rich can render: as wide as the terminal, or `file_width` columns in a file."""
    # Imported here: commands that print no tables do not load it.
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else file_width
    console = Console(width=width, force_terminal=terminal, highlight=False)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    write(captured.get())


def told(error: ToolkitError | OSError) -> tuple[str, int]:
    """`error` as one line, and the exit code: 2 if the caller is at fault, else 1."""
    return f"error: {error}", 2 if isinstance(error, CallerError) else 1


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
