"""Whether those who share a store name the same policies.

Whatever they name, no update is lost and no grant is broken.  But a home is stepped by whoever
comes: a grant is given for the lease that its giver names, and a strict writer waits as long as
its own policy says that a copy may live.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from coherence.policy import Policy, bearing
from coherence.stores.port import Store

log = logging.getLogger("coherence.workspace")


def agree(store: Store, policies: Mapping[str, Policy]) -> None:
    """Keep in the store what is named by those who have joined; say in the log who differs.

    `policies` are those of this workspace, by pattern, in the order in which they count.
    """
    ours = "; ".join(f"{glob!r} {bearing(policy)}" for glob, policy in policies.items())
    theirs = store.agree(ours)
    if theirs != ours:
        log.warning(
            "this workspace names other policies than those who have joined %s before:"
            " ours are (%s), theirs (%s); name the same ones",
            store.identity,
            ours,
            theirs,
        )
