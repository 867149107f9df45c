"""Checks and searches, each in a process of its own, with progress and an end at any time."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock, Thread
from typing import ClassVar, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coherence_console.answers import NotThere, answer, body, param
from coherence_console.channel import Channel, Event
from coherence_console.check_process import CheckTask, Report
from coherence_console.explorer_shapes import Job, Outcome
from coherence_console.guard import API
from coherence_console.models import Models, ModelTrouble
from message_passing.errors import CallerError
from specs.checker.errors import CheckerError
from specs.constants import from_texts
from specs.session import condition

#: Processes at once, and ended ones whose results are kept.
RUNNING_MAX: Final = 2
KEPT_MAX: Final = 32
#: The longest time, in seconds, and the most memory that a page may ask for.
SECONDS_MAX: Final = 3_600.0
MEMORY_MAX_MIB: Final = 65_536.0


class ChecksBusy(CallerError):
    """As many checks run as may run at once."""

    remedy: ClassVar[str] = "cancel one of them, or wait"  # type: ignore[misc]


class Running:
    """A process that checks, and what it has told."""

    def __init__(self, task: CheckTask) -> None:
        self.job = Job(
            id=secrets.token_urlsafe(9),
            model=task.model,
            settings=task.settings,
            kind=task.kind,
            state="running",
        )
        self.channel = Channel(lambda: Event("job", self.job))
        self._lock = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "coherence_console.check_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            # An interrupt from the terminal is the server's: it ends the process.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(task) + b"\n")
        self._process.stdin.flush()
        self._thread = Thread(target=self._read, name="check", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the process at once.  Idempotent."""
        self._change(state="cancelled")
        self._process.kill()

    def join(self) -> None:
        """Wait until the process has ended, with all that belongs to it."""
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        decode = msgspec.json.Decoder(Report).decode
        for line in self._process.stdout:
            report = decode(line)
            if report.progress is not None:
                self._change(progress=report.progress)
            elif report.error is not None:
                _, message, remedy = report.error
                self._change(state="failed", message=message, remedy=remedy)
            else:
                self._change(state="done", outcome=report.outcome, located=report.located)
        code = self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._change(
            state="failed",
            message=f"the process of the check ended by itself, with code {code}",
            remedy="with less memory to take, or in the terminal: coherence specs check",
        )

    def _change(self, **fields: object) -> None:
        """Change the job, unless it has ended; tell the pages."""
        with self._lock:
            if self.job.state != "running":
                return
            self.job = msgspec.structs.replace(self.job, **fields)
            job = self.job
        self.channel.send(Event("job", job))


class Checks:
    """All checks of a console.  From any thread."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._all: OrderedDict[str, Running] = OrderedDict()
        self._lock = Lock()
        self._ended = False

    def start(self, task: CheckTask) -> Job:
        """Begin a check.  Raises `ChecksBusy`, and `CheckerError` for a task without meaning."""
        source = self._models.source(task.model)
        from_texts(source, task.settings)
        if task.kind == "search":
            condition(task.field, task.operator, task.value)
        task = msgspec.structs.replace(
            task,
            # The name on the command line, which a page may shorten.
            model=source.name,
            seconds=min(max(task.seconds, 0.01), SECONDS_MAX),
            memory_mib=min(max(task.memory_mib, 64.0), MEMORY_MAX_MIB),
            states=None if task.states is None else max(task.states, 1),
            modules=(),
        )
        with self._lock:
            running = [each for each in self._all.values() if each.job.state == "running"]
            if self._ended or len(running) >= RUNNING_MAX:
                raise ChecksBusy(f"{len(running)} checks are running")
            made = Running(task)
            self._all[made.job.id] = made
            for key in [key for key, each in self._all.items() if each.job.state != "running"]:
                if len(self._all) > KEPT_MAX:
                    self._all.pop(key).channel.end()
        return made.job

    def of(self, key: str) -> Running:
        """The check with this identity.  Raises `NotThere`."""
        with self._lock:
            found = self._all.get(key)
        if found is None:
            raise NotThere
        return found

    def outcome(self, model: str, settings: Mapping[str, str]) -> Outcome | None:
        """What the latest finished check of a model with these constants has found."""
        with self._lock:
            for each in reversed(self._all.values()):
                job = each.job
                if job.outcome is not None and (job.model, job.settings) == (model, settings):
                    return job.outcome
        return None

    def end(self) -> None:
        """End all processes.  Idempotent."""
        with self._lock:
            self._ended = True
            running = list(self._all.values())
        for each in running:
            each.cancel()
            each.channel.end()
        for each in running:
            each.join()

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(f"{API}/checks", self._post, methods=["POST"]),
            Route(f"{API}/checks", self._get, methods=["GET"]),
            Route(f"{API}/checks", self._delete, methods=["DELETE"]),
            Route(f"{API}/checks/events", self._events),
        ]

    async def _post(self, request: Request) -> Response:
        from asyncio import to_thread

        task = body(await request.body(), CheckTask)
        try:
            return answer(await to_thread(self.start, task))
        except CheckerError as error:
            raise ModelTrouble(error) from error

    def _get(self, request: Request) -> Response:
        return answer(self.of(param(request, "id")).job)

    def _delete(self, request: Request) -> Response:
        running = self.of(param(request, "id"))
        running.cancel()
        return answer(running.job)

    async def _events(self, request: Request) -> Response:
        return self.of(param(request, "id")).channel.response()


def _environment() -> dict[str, str]:
    """The environment, with the import path of this process."""
    path = os.pathsep.join(each or os.getcwd() for each in sys.path)
    return {**os.environ, "PYTHONPATH": path}
