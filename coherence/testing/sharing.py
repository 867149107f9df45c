"""What agents share without a workspace: a mapping, and the files of a folder."""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from coherence.testing.frames import is_ours, opener
from coherence.testing.instead import instead
from coherence.testing.oracles import Thing, who_is
from coherence.testing.stage import Stage

K = TypeVar("K")
V = TypeVar("V")


class SharedMapping(MutableMapping[K, V]):
    """A mapping in which each look at an entry, and each change of one, is a move."""

    def __init__(self, stage: Stage, entries: Mapping[K, V], name: str) -> None:
        self._stage, self._entries, self._name = stage, dict(entries), name
        self._keys = Thing(name, "its keys")

    def __getitem__(self, key: K) -> V:
        return self._seen(key)[key]

    def _seen(self, key: object) -> dict[K, V]:
        """The entries, of which the present agent has seen that one."""
        thing = Thing(self._name, key)
        self._stage.touch(((thing, False),), f"look at {thing}")
        if (who := self._stage.me()) is not None:
            self._stage.world.saw(who_is(who), thing)
        return self._entries

    def __setitem__(self, key: K, value: V) -> None:
        self._change(key, value)

    def __delitem__(self, key: K) -> None:
        self._change(key)

    def _change(self, key: K, *value: V) -> None:
        thing, grows = Thing(self._name, key), (key in self._entries) != bool(value)
        access = ((thing, True), (self._keys, True)) if grows else ((thing, True),)
        self._stage.touch(access, f"change {thing}")
        if (who := self._stage.me()) is not None:
            self._stage.world.wrote(who_is(who), thing)
        if value:
            self._entries[key] = value[0]
        else:
            del self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._seen(key)

    def __iter__(self) -> Iterator[K]:
        self._stage.touch(((self._keys, False),), f"list {self._name}")
        return iter(list(self._entries))

    def __len__(self) -> int:
        self._stage.touch(((self._keys, False),), f"count {self._name}")
        return len(self._entries)

    def __repr__(self) -> str:
        return f"SharedMapping({self._entries!r})"


class Folder:
    """A folder of which each opening of a file is a move."""

    def __init__(self, stage: Stage, path: Path) -> None:
        self._stage, self.path = stage, path.resolve()
        self._open = io.open

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Until the end of the block, openings of files in the folder are moves."""
        with instead(io, "open", self._opened), instead(builtins, "open", self._opened):
            yield

    def _opened(self, file: Any, mode: str = "r", *given: Any, **options: Any) -> Any:
        name = self._name(file)
        # What the guard reads is part of the call that asks it.
        if name is not None and not is_ours(opener(sys._getframe(1))):
            thing = Thing("file", name)
            writes = any(letter in mode for letter in "wax+")
            words = "write" if writes else "read"
            self._stage.touch(((thing, writes),), f"{words} {name}")
            if (who := self._stage.me()) is not None:
                if writes:
                    # What is appended, or made new, replaces nothing.
                    self._stage.world.wrote(who_is(who), thing, derives="w" in mode)
                else:
                    self._stage.world.saw(who_is(who), thing)
        return self._open(file, mode, *given, **options)

    def _name(self, file: Any) -> str | None:
        """The path of `file` within the folder, if it is in there."""
        if not isinstance(file, str | os.PathLike):
            return None
        path = Path(os.path.abspath(file))
        return str(path.relative_to(self.path)) if path.is_relative_to(self.path) else None
