"""A console over a store, and requests to it as any program could send them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from coherence import Conflict, Limits, Workspace
from coherence.stores.opening import open_store
from coherence_console.context import Context, Source
from coherence_console.server import Console, Served

PLAN = "plan.md"


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A console that runs, and its address."""

    def __init__(self, context: Context) -> None:
        console = Console(context)
        self.context, self.port, self.token, self.url = (
            context,
            console.port,
            console.token,
            console.url,
        )
        self.served = Served(console)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def headers(self) -> dict[str, str]:
        """Those of a request that is not refused."""
        return {"Host": f"127.0.0.1:{self.port}", "Authorization": f"Bearer {self.token}"}

    def send(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str | list[str] | None] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """The answer; a header that is None is left out, one that is a list is sent repeatedly."""
        line = self.connection()
        try:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in (self.headers() | dict(headers or {})).items():
                for each in [value] if not isinstance(value, list) else value:
                    if each is not None:
                        line.putheader(name, each)
            if body is not None:
                line.putheader("Content-Length", str(len(body)))
            line.endheaders(body)
            found = line.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            line.close()

    def get(self, path: str) -> Any:
        """The JSON of an answer that must be one."""
        found = self.send(path)
        assert found.status == 200, found
        return found.json

    def stream(self, path: str = "/api/team/events") -> Stream:
        return Stream(self, path)

    def close(self) -> None:
        self.served.close()


class Stream:
    """The events of a stream, one after the other."""

    def __init__(self, running: Running, path: str) -> None:
        self._line = running.connection()
        self._line.request("GET", path, headers=running.headers())
        self._answer = self._line.getresponse()
        self.status = self._answer.status

    def next(self) -> tuple[str, Any] | None:
        """The kind and the JSON of the next event; None at the end."""
        kind = ""
        for line in iter(self._answer.readline, b""):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                return kind, json.loads(value)
        return None

    def close(self) -> None:
        self._answer.close()
        self._line.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def source(url: str) -> Source:
    return Source(lambda: open_store(url, create=False, readonly=True), "team.db", "sqlite")


@contextmanager
def working(url: str) -> Iterator[Workspace]:
    """Three agents, who have written, read, and been refused once."""
    with Workspace(url, limits=Limits(refusals=10)) as workspace:
        ann, bob, cat = (workspace.agent(name) for name in ("ann", "bob", "cat"))
        ann.write(PLAN, "# Plan\nstep 1\n", reason="a beginning")
        bob.read(PLAN)
        cat.read(PLAN)
        bob.update(PLAN, lambda text: text + "step 2\n")
        with pytest.raises(Conflict):
            cat.write(PLAN, "# Mine\n", reason="not seen")
        ann.write("notes/a.md", "a\n")
        ann.write("data.bin", b"\0\1\2")
        ann.write("gone.md", "here\n")
        ann.delete("gone.md")
        workspace.stats()  # sends the counts
        yield workspace


@contextmanager
def shown(context: Context) -> Iterator[Running]:
    """A console that ends with the block."""
    made = Running(context)
    try:
        yield made
    finally:
        made.close()
