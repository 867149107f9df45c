"""A Dask cluster that measures: the same tasks, on as many machines as it has.

Its scheduler and workers need this distribution; a worker that measures differently is refused
(`StrangeFigures`).  A task whose worker is lost runs on another one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from time import monotonic
from typing import Any

from coherence.simulate.sweeps.pools import AHEAD, Pool, WorkerDied
from message_passing.errors import CallerError, EnvironmentFault, ToolkitError

CONNECT_S = 10.0

COUNT_EVERY_S = 10.0
"""How soon workers that have joined get tasks."""

NO_WORKERS_S = 60.0
"""A cluster without any worker for as long is given up."""


class NoDask(EnvironmentFault):
    """The library of clusters is not installed."""

    remedy = "pip install distributed"


class ClusterLost(EnvironmentFault):
    """The cluster cannot be reached, or has no workers."""

    remedy = "start a scheduler and workers; with --out the same command goes on from there"


class ClusterUnfit(CallerError):
    """A process of the cluster lacks the program."""

    remedy = (
        "install the same release of artifact-coherence for the scheduler and every worker, and"
        " restart them"
    )


@contextmanager
def connected(address: str) -> Iterator[Pool]:
    """The workers of the scheduler at `address`, such as ``tcp://10.0.0.1:8786``.

    Raises `NoDask`, `ClusterLost` and `ClusterUnfit`.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise NoDask("distributed is not installed: there are no clusters without it") from error
    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise ClusterLost(f"{address}: {error}") from error
    with _quiet(), client:  # closing a client logs what was under way
        _require_program(client, address)
        yield _Cluster(client, address)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without tracebacks of what becomes a typed error, or is mended."""
    loggers = [logging.getLogger(name) for name in ("distributed.client", "tornado.application")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _require_program(client: Any, address: str) -> None:
    """Raise `ClusterUnfit` if a process of the cluster cannot import what a task is made of.

    It would end its connection as it receives one, and say so in its own log alone.
    """

    def missing() -> str | None:  # local, so that it travels as code and not by name
        try:
            import coherence.simulate.sweeps.measuring  # noqa: F401
        except ImportError as error:
            return str(error)
        return None

    lacking = {"the scheduler": client.run_on_scheduler(missing), **client.run(missing)}
    for process, error in lacking.items():
        if error is not None:
            raise ClusterUnfit(f"{address}: {process}: {error}")


class _Cluster(Pool):
    def __init__(self, client: Any, address: str) -> None:
        super().__init__(client.get_executor(pure=False))
        self._client, self._address = client, address
        self._alone_since: float | None = None
        self._count()

    def ahead(self) -> int:
        if monotonic() - self._counted_at > COUNT_EVERY_S:
            self._count()
        return max(1, AHEAD * self._threads)

    def check(self) -> None:
        if self._client.status == "closed":
            raise ClusterLost(f"{self._address}: the scheduler has ended")
        self._count()
        if self._alone_since is not None and monotonic() - self._alone_since > NO_WORKERS_S:
            raise ClusterLost(f"{self._address}: the cluster has no workers")

    def typed(self, error: BaseException) -> BaseException:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return WorkerDied(f"{self._address}: {error}")
        # A client without a scheduler cancels what is under way, and refuses more with a bare
        # `Exception`.
        is_lost = self._client.status != "running" and not isinstance(error, KeyboardInterrupt)
        if isinstance(error, CancelledError) or (is_lost and not isinstance(error, ToolkitError)):
            return ClusterLost(f"{self._address}: the scheduler has ended")
        return super().typed(error)

    def _count(self) -> None:
        try:
            self._threads: int = sum(self._client.nthreads().values())
        except OSError as error:
            raise ClusterLost(f"{self._address}: the scheduler has ended") from error
        self._counted_at = monotonic()
        if self._threads:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = self._counted_at
