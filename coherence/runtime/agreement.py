"""Checks whether all workspaces on a store name the same policies.

Under any policies, no update is lost and no grant is broken.  But any process can step a home: a
grant gets the lease of the process that gives it, and a strict writer waits as long as its own
policy lets a copy live.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from coherence.policy import Policy, bearing
from coherence.stores.port import Store

log = logging.getLogger("coherence.workspace")


def agree(store: Store, policies: Mapping[str, Policy]) -> None:
    """Keep the policies of the members in the store; warn in the log if this workspace differs.

    `policies` are those of this workspace, by pattern, in order of precedence.
    """
    ours = "; ".join(f"{glob!r} {bearing(policy)}" for glob, policy in policies.items())
    theirs = store.agree(ours)
    if theirs != ours:
        log.warning(
            "this workspace names other policies than the earlier members of %s:"
            " ours are (%s), theirs (%s); name the same ones",
            store.identity,
            ours,
            theirs,
        )
