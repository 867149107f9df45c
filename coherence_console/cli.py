"""``coherence console``: the command line.  It loads the web server only when it starts one."""

from __future__ import annotations

import webbrowser
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from coherence.cli_options import told
from coherence.errors import BadArgument
from coherence.stores.opening import open_store
from coherence.stores.port import Store
from coherence_console.context import Context, Source
from message_passing.commands import one_command
from message_passing.console import reported, say
from message_passing.errors import EnvironmentFault

#: What the extra brings.
EXTRA: Final = ("starlette", "uvicorn")


def console(
    store: Annotated[
        str,
        typer.Option(
            "--store", "-s", envvar="COHERENCE_STORE", help="sqlite:///FILE or postgresql://..."
        ),
    ] = "",
    trace: Annotated[
        list[Path] | None,
        typer.Option("--trace", "-t", help="A recording for the timeline; may be repeated."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A model of `specs`, or a Python file of yours.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A constant of the model, such as caches=3; may be repeated."),
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(help="A folder of results of `coherence simulate`.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    host: Annotated[str, typer.Option(help="An address of this machine itself.")] = "127.0.0.1",
    hz: Annotated[
        float, typer.Option(min=0.1, max=20, help="Looks at the store a second, at most.")
    ] = 5.0,
    browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = False,
    contents: Annotated[
        bool, typer.Option("--content/--no-content", help="Show what artifacts contain.")
    ] = True,
) -> None:
    """The team, the models and results in a browser, until interrupted.

    It prints one URL, with a token that is needed; only this machine can reach it.  Nothing is
    changed, and no agent waits for it.
    """
    with reported(told):
        context = Context(
            source=_source(store) if store else None,
            traces=tuple(trace or ()),
            model=model,
            constants=dict(_setting(each) for each in settings or ()),
            reports=reports,
            hz=hz,
            contents=contents,
        )
        try:
            from coherence_console.server import Console
        except ImportError as error:
            if (error.name or "").partition(".")[0] not in EXTRA:
                raise
            raise EnvironmentFault(
                f"the console needs {error.name}",
                remedy="pip install 'starlette>=1.0,<2' 'uvicorn>=0.34'",
            ) from error
        with closing(Console(context, host=host, port=port)) as made:
            say(made.url)
            if browser:
                webbrowser.open(made.url_once)
            made.run()


def _source(url: str) -> Source:
    """The store of that address, which must be there.  Raises `StoreFault`, `BadUrl`."""

    def opening() -> Store:
        return open_store(url, create=False, readonly=True)

    opening().close()
    kind, _, rest = url.partition("://")
    # A user and a password stand before the @, parameters after the ?.
    label = rest.rpartition("@")[2].partition("?")[0].strip("/")
    return Source(opening, label.rpartition("/")[2] if kind == "sqlite" else label, kind)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise BadArgument(f"--set {text!r} has no value", remedy="such as --set caches=3")
    return name, value


app = one_command(
    console,
    "coherence console --store sqlite:///team.db",
    "coherence console --model mesi --set caches=3 --open",
    "coherence console --trace run.ndjson --reports results",
)
