"""What is remembered of one root: who has seen what, and the contents that passed by.

One SQLite file, ``.coherence/guard.db``.  A hook's decision is one transaction, so that hooks of
several processes follow each other, and a process that is killed leaves nothing half done.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any

from file_guard.rules import ABSENT, Facts, Verdict, Write, digest

HOME = ".coherence"
#: Larger contents, and those that are not text, are known by their digest alone.
KEPT_BYTES = 1 << 20
KEPT_DAYS = 7
#: How long a hook waits for others before it lets the call pass.
WAIT_S = 2.0
_TURN_S = 0.005
#: Names of files whose contents are never kept or shown; `.coherence/secrets` has more, one a line.
SECRETS = (
    ".env .env.* *.env *.pem *.key *.p12 *.pfx *.jks *.keystore *.kdbx .netrc .npmrc .pypirc"
    " .pgpass .git-credentials .htpasswd id_rsa* id_dsa* id_ecdsa* id_ed25519*"
    " credentials credentials.* secrets secrets.*"
)

_TABLES = """
begin immediate;
create table if not exists clock (n integer not null);
insert into clock select 0 where not exists (select 1 from clock);
create table if not exists agents (id text primary key, label text, head text, at integer);
create table if not exists seen (agent text, path text, digest text, told text, at integer,
    primary key (agent, path)) without rowid;
create table if not exists checks (agent text, path text, call text, n integer, digest text,
    primary key (agent, path, call)) without rowid;
create table if not exists writes (n integer primary key, path text, digest text, agent text,
    base text, at integer);
create index if not exists writes_path on writes (path, n);
create table if not exists kept (n integer primary key, path text, digest text, label text,
    at integer, size integer, data blob, version integer);
create index if not exists kept_path on kept (path, n);
pragma user_version = 1;
commit;
"""
_NOW = "cast(strftime('%s', 'now') as integer)"


class Journal:
    """The journal of a root, for the time of a ``with`` block, which is one transaction.

    Made when it is missing.  Raises `sqlite3.Error`, `OSError`.
    """

    def __init__(self, root: str) -> None:
        self.root, self._home = root, os.path.join(root, HOME)
        if not os.path.isdir(self._home):
            os.makedirs(self._home, mode=0o700, exist_ok=True)
        ignore = os.path.join(self._home, ".gitignore")
        if not os.path.exists(ignore):
            with open(ignore, "w", encoding="utf-8") as file:
                file.write("*\n")
        #: Whether the disk takes names that differ in case for one.
        self.folds = os.path.exists(os.path.join(root, HOME.upper()))
        self._secrets: list[str] | None = None
        path = os.path.join(self._home, "guard.db")
        self.db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
        try:
            if not self.db.execute("pragma user_version").fetchone()[0]:
                self._write_ahead()
                self.db.executescript(_TABLES)
            self.db.execute("pragma synchronous = normal")
        except BaseException:
            self.db.close()
            raise

    def __enter__(self) -> Journal:
        try:
            self.db.execute("begin immediate")
        except BaseException:
            self.db.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        try:
            self.db.execute("rollback" if kind else "commit")
        finally:
            self.db.close()

    def _write_ahead(self) -> None:
        """SQLite refuses one of two that switch a new file at once, without a wait."""
        until = time.monotonic() + WAIT_S
        while True:
            try:
                self.db.execute("pragma journal_mode = wal")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(_TURN_S)  # noqa: TID251 - SQLite has no event for it

    def name(self, path: str) -> str:
        """The name of a file, by its real path: relative to the root, one for each file."""
        name = os.path.relpath(path, self.root).replace(os.sep, "/")
        if self.folds:
            import unicodedata

            name = unicodedata.normalize("NFC", name).casefold()
        return name

    def meet(self, agent: str, label: str, head: str) -> bool:
        """Note an agent, and where git's HEAD is; whether it has moved since its last call."""
        was = self._one("select head from agents where id = ?", agent)
        if was is None:
            self._expire()
        given = (agent, label, head)
        self.db.execute(f"replace into agents values (?, ?, ?, {_NOW})", given)
        return was is not None and was[0] != head

    def facts(self, agent: str, path: str, disk: bytes | None, call: str = "") -> Facts:
        """What is known of a file for one agent and the call of a tool."""
        seen = self._one("select digest, told from seen where agent = ? and path = ?", agent, path)
        ask = "select n, digest from checks where agent = ? and path = ? and call = ?"
        check = self._one(ask, agent, path, call)
        ask = (
            "select digest, agent, coalesce(label, agent), base from writes"
            " left join agents on id = agent where path = ? and n > ? order by n"
        )
        if check is None:
            ask += " desc limit 1"
        writes = self.db.execute(ask, (path, check[0] if check else 0)).fetchall()
        shown, told = seen or (None, None)
        authors = self._authors(path, shown, digest(disk)) if shown is not None else ()
        found = check and check[1]
        return Facts(
            path, agent, disk, shown, told, found, tuple(map(Write._make, writes)), authors
        )

    def text(self, path: str, wanted: str) -> bytes | None:
        """A kept content by its digest, or None."""
        if wanted == ABSENT:
            return b""
        ask = "select data from kept where path = ? and digest = ? and data is not null"
        row = self._one(f"{ask} order by n desc", path, wanted)
        return zlib.decompress(row[0]) if row else None

    def keep(self, path: str, data: bytes | None, label: str = "") -> None:
        """Keep a content, of an author or of nobody known; without its text where that may not."""
        if data is None:
            return
        found = digest(data)
        # Another hook may have kept it before its author's hook ran.
        ask = "update kept set label = ? where path = ? and digest = ? and label = ''"
        self.db.execute(ask, (label, path, found))
        ask = "select digest from kept where path = ?"
        newest = self._one(f"{ask} order by n desc", path)
        if newest == (found,) or (not label and self._one(f"{ask} and digest = ?", path, found)):
            return
        packed = zlib.compress(data, 1) if self._may_keep(path, data) else None
        row = (self._tick(), path, found, label, len(data), packed)
        ask = f"insert into kept values (?, ?, ?, ?, {_NOW}, ?, ?, null)"
        self.db.execute(ask, row)

    def begin(self, facts: Facts, call: str) -> None:
        """Note what a call has found on disk, for the report after it."""
        row = (facts.agent, facts.path, call, self._tick(), digest(facts.disk))
        self.db.execute("replace into checks values (?, ?, ?, ?, ?)", row)

    def end(self, facts: Facts, call: str) -> None:
        """Drop the note of `begin`."""
        ask = "delete from checks where agent = ? and path = ? and call = ?"
        self.db.execute(ask, (facts.agent, facts.path, call))

    def remember(self, facts: Facts, verdict: Verdict) -> None:
        """What a verdict says is known from now on."""
        agent, path = facts.agent, facts.path
        seen = facts.seen if verdict.seen is None else verdict.seen
        if seen is not None and (verdict.seen, verdict.told) != (None, None):
            ask = f"replace into seen values (?, ?, ?, ?, {_NOW})"
            self.db.execute(ask, (agent, path, seen, verdict.told))
        if verdict.wrote is not None:
            row = (self._tick(), path, verdict.wrote, agent, verdict.base)
            self.db.execute(f"insert into writes values (?, ?, ?, ?, ?, {_NOW})", row)

    def shown(self, agent: str) -> list[tuple[str, str, str | None]]:
        """The files that an agent has seen: path, digest, the digest that it was told of."""
        ask = "select path, digest, told from seen where agent = ?"
        return self.db.execute(ask, (agent,)).fetchall()

    def forget(self, agent: str, path: str | None = None) -> None:
        """What an agent has seen is no longer in its context: of one file, or of all.

        An agent's name and ``/`` begin the names of its subagents, which forget all too.
        """
        if path is not None:
            ask = "delete from seen where agent = ? and path = ?"
            self.db.execute(ask, (agent, path))
            return
        ask = "delete from seen where agent = ? or substr(agent, 1, length(?) + 1) = ? || '/'"
        self.db.execute(ask, (agent,) * 3)

    def tell(self, agent: str, path: str, told: str) -> None:
        """An agent was told of the content of that digest."""
        ask = "update seen set told = ? where agent = ? and path = ?"
        self.db.execute(ask, (told, agent, path))

    def unpublished(self, n: int | None = None) -> list[tuple[int, str, str, str]]:
        """The kept texts, or one of them, that no workspace has: number, path, author, text."""
        ask = (
            "select n, path, label, data from kept where version is null and data is not null"
            " and n = coalesce(?, n) order by n"
        )
        rows = self.db.execute(ask, (n,)).fetchall()
        return [(n, path, label, zlib.decompress(data).decode()) for n, path, label, data in rows]

    def published(self, n: int, version: int) -> None:
        """A kept text is this version of a workspace's artifact."""
        self.db.execute("update kept set version = ? where n = ?", (version, n))

    def version(self, path: str, wanted: str) -> int | None:
        """The version that has a content, by its digest."""
        ask = "select max(version) from kept where path = ? and digest = ?"
        return self._one(ask, path, wanted)[0]  # type: ignore[no-any-return]

    def overview(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The agents, then the contents, oldest first."""
        self.db.row_factory = sqlite3.Row
        agents = self.db.execute(
            "select label agent, count(path) files, agents.at at from agents"
            " left join seen on agent = id group by id order by agents.at"
        )
        kept = self.db.execute(
            "select path file, version, label by, at, size bytes, data is not null text"
            " from kept order by n"
        )
        return [dict(row) for row in agents], [dict(row) for row in kept]

    def _authors(self, path: str, seen: str, now: str) -> tuple[str, ...]:
        """Who wrote the contents after the one that was seen; empty if no hook knows of one."""
        ask = "select n from kept where path = ? and digest = ? order by n desc"
        start = (self._one(ask, path, seen) or (0,))[0]
        ask = "select distinct label from kept where path = ? and n > ? and label != ''"
        labels = tuple(row[0] for row in self.db.execute(ask, (path, start)))
        by = self._one("select label from kept where path = ? and digest = ?", path, now)
        return labels if by is not None and by[0] else ()

    def _may_keep(self, path: str, data: bytes) -> bool:
        if len(data) > KEPT_BYTES or b"\0" in data:
            return False
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        if self._secrets is None:
            self._secrets = SECRETS.split()
            more = os.path.join(self._home, "secrets")
            if os.path.exists(more):
                with open(more, encoding="utf-8") as file:
                    self._secrets += file.read().split("\n")
        parts = [path.lower(), *path.lower().split("/")]
        return not any(fnmatchcase(part, each.lower()) for part in parts for each in self._secrets)

    def _expire(self) -> None:
        """Drop what is older than `KEPT_DAYS`, as a new agent is met."""
        old = f"at < {_NOW} - {KEPT_DAYS * 86_400}"
        for table in ("seen", "kept", "writes", "agents"):
            self.db.execute(f"delete from {table} where {old}")
        self.db.execute("delete from checks where agent not in (select id from agents)")

    def _tick(self) -> int:
        return int(self.db.execute("update clock set n = n + 1 returning n").fetchone()[0])

    def _one(self, ask: str, *given: object) -> Any:
        return self.db.execute(ask, given).fetchone()
