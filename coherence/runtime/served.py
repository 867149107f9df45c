"""The contents that this process has given to its applications, by version, to resolve bare refs.

A version's number alone does not name a content after a store went back to an earlier state.  A ref
with a digest is compared by it; a bare ``name@version``, as a model repeats it, stands for the
content that was served under that number here.
"""

from __future__ import annotations

from coherence.messages import Version

#: How many versions are remembered; about 200 bytes each.
VERSIONS_MAX = 20_000


class ServedDigests:
    """Remembers the digests of the versions served last."""

    __slots__ = ("_digests", "_doubtful", "_newest")

    def __init__(self) -> None:
        self._digests: dict[tuple[str, Version], bytes | None] = {}
        #: Up to this version a number may have named another content in a lost history.
        self._doubtful: Version = 0
        self._newest: Version = 0

    def note(self, name: str, version: Version, digest: bytes) -> None:
        """The application was given that content under that number."""
        digests, key = self._digests, (name, version)
        known = digests.get(key, digest)
        # Two contents under one number: a bare ref to it is ambiguous.
        digests[key] = digest if known == digest else None
        if version > self._newest:
            self._newest = version
        if len(digests) > VERSIONS_MAX:
            for old in list(digests)[: VERSIONS_MAX // 2]:
                digests.pop(old, None)

    def digest(self, name: str, version: Version) -> bytes | None:
        """The content that a bare ref to that version stands for, or None if it is unknown."""
        if version <= self._doubtful:
            return None
        return self._digests.get((name, version))

    def begin_again(self) -> None:
        """The store has another history: earlier numbers no longer name contents."""
        self._doubtful = self._newest
        self._digests.clear()
