"""Command lines made with typer: one form of help, of errors and of exit codes.

| code | meaning |
|---|---|
| 0 | done; what was asked holds |
| 1 | damage, a violation, or a figure that differs |
| 2 | the request was wrong, and nothing changed |
| 3 | a store, a file or the network failed, or the answer is not known |
| 130 | interrupted |
"""

from __future__ import annotations

import inspect
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from message_passing.console import INTERRUPTED, complain, write

#: typer exports the subclass of click's `UsageError`, but not `UsageError`.
_UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]

#: For every application and command.
SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """A group of commands that reports wrong usage as `CODE: MESSAGE (REMEDY)`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for command in self.commands.values():
            command.help = flowing(command.help)

    def main(self, *args: Any, **options: Any) -> Any:
        return _reported(super().main, *args, **options)


class Single(TyperCommand):
    """A command that is an application of its own, and reports wrong usage as `Commands` does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = flowing(self.help)

    def main(self, *args: Any, **options: Any) -> Any:
        return _reported(super().main, *args, **options)


def flowing(help: str | None) -> str | None:
    """`help` with each paragraph on one line, which fills any width; lists stay as they are."""
    if help is None:
        return None
    paragraphs = inspect.cleandoc(help).split("\n\n")
    return "\n\n".join(
        text if any(line[:1] in " -|" for line in text.splitlines()) else " ".join(text.split())
        for text in paragraphs
    )


def examples(*lines: str) -> str:
    """The end of a command's help: each line is an example, which tests run."""
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def one_command(function: Any, *lines: str) -> typer.Typer:
    """An application that is one command, with `lines` as its examples."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(cls=Single, context_settings=SETTINGS, epilog=examples(*lines))(function)
    return app


def _reported(run: Any, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
    if not standalone_mode:
        return run(*args, standalone_mode=False, **options)
    try:
        code = run(*args, standalone_mode=False, **options)
    except _UsageError as error:
        _complain(error)
        raise SystemExit(2) from None
    except typer.Abort:
        complain("interrupted")
        raise SystemExit(INTERRUPTED) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _complain(error: Any) -> None:
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        # rich has written the help as the error was made; without rich it is the message.
        write(error.message)
        return
    remedy = f" (`{context.command_path} --help` describes the call)" if context else ""
    text = " ".join(error.format_message().split()).rstrip(".")
    complain(f"usage: {text}{remedy}")
