"""The two automata, cache and home, of each artifact."""

from __future__ import annotations

from collections.abc import Callable

from coherence.cache import Cache
from coherence.directory import Home
from coherence.policy import Policy
from coherence.runtime.outcome import HOME

#: For how many artifacts the policy is cached.
PROCESSES_MAX = 10_000


class Processes(dict[str, tuple[Cache, Home]]):
    """The two processes of each artifact, by its policy; made at the first use."""

    def __init__(self, policy: Callable[[str], Policy]) -> None:
        super().__init__()
        self._policy = policy
        self._by_policy: dict[int, tuple[Cache, Home]] = {}

    def __missing__(self, artifact: str) -> tuple[Cache, Home]:
        if len(self) >= PROCESSES_MAX:
            self.clear()
        policy = self._policy(artifact)
        pair = self._by_policy.get(id(policy))
        if pair is None:
            pair = self._by_policy[id(policy)] = (Cache(policy, HOME), Home(policy))
        self[artifact] = pair
        return pair
