"""Thirty mistakes in guards and operation bodies, as text in place of text.

Of the kinds that a review seeded: comparisons, forgotten conjuncts, serials, epochs, versions,
durations, the other end of a list.
"""

from contextlib import AbstractContextManager

from specs.code_swap import mistaken

HOME, ENTRIES, CACHE = "coherence.directory", "coherence.entries", "coherence.cache"

#: By name: module, function, text, other text.
SEEDS: dict[str, tuple[str, str, str, str]] = {
    "an epoch is used again": (HOME, "_grant", "x.epoch += 1", "x.epoch += 0"),
    "the next waiter gets the old epoch": (HOME, "_grant_next", "x.epoch += 1", "x.epoch += 0"),
    "the last waiter comes first": (
        *(ENTRIES, "next_of", "queue[0], queue[1:]", "queue[-1], queue[:-1]"),
    ),
    "any base is current": (HOME, "_put_m", "msg.base == x.version and (", "(1 == 1) and ("),
    "any digest is current": (HOME, "_put_m", "msg.digest == current)", "True)"),
    "a fence by ownership alone": (
        *(HOME, "_put_m", "not (owns and msg.epoch == x.epoch)", "not owns"),
    ),
    "no fence": (HOME, "_put_m", "fenced = msg.epoch and", "fenced = False and"),
    "a repeated commit is judged again": (
        *(HOME, "_put_m", "msg.serial <= verdict.serial", "msg.serial < verdict.serial"),
    ),
    "a pending commit is answered": (HOME, "_put_m", "if x.writer == x.src and", "if False and"),
    "the oldest verdicts are kept": (*(ENTRIES, "remembering", "[-memory:]", "[:memory]"),),
    "an acknowledgement of any version counts": (
        *(HOME, "_inv_ack", "and x.msg.version >= x.version", ""),
    ),
    "silent copies are given up by name": (
        ENTRIES,
        "remaining",
        "if sharer not in gone",
        "if sharer.cache not in [silent.cache for silent in gone]",
    ),
    "home waits half a validity": (
        *(HOME, "_arm_acks", "x.policy.validity))", "x.policy.validity / 2))"),
    ),
    "awaited caches are forgotten": (HOME, "_heard", "known(x.unacked, x.src), ", ""),
    "an older request is answered": (HOME, "_get_s", "> x.msg.serial", "> x.msg.serial + 9"),
    "an older wish for the grant counts": (HOME, "_get_m", "> x.msg.serial", "> x.msg.serial + 9"),
    "a late PutS counts": (HOME, "_put_s", "<= x.msg.serial", "<= x.msg.serial + 9"),
    "unchanged without a digest": (
        *(HOME, "_answer", "and ask.digest == digest_of(x.content)", ""),
    ),
    "a delta spans one version too many": (
        *(HOME, "_answer", "<= x.policy.delta_window", "<= x.policy.delta_window + 1"),
    ),
    "an invalidation names the version before": (
        HOME,
        "_announce",
        "Inv(x.version - 1",
        "Inv(x.version - 2",
    ),
    "no acknowledgement is awaited": (HOME, "_announce", "if awaited:", "if False:"),
    "a lone copy although others wait": (HOME, "_finish", 'x.writer = ""', "pass"),
    "a dead version is taken": (CACHE, "_data", "msg.version <= x.dead_through", "False"),
    "any answer is taken": (*(CACHE, "_data", "or msg.serial != x.asked.serial", ""),),
    "any acknowledgement is taken": (*(CACHE, "_put_ack", "or msg.serial != x.asked.serial", ""),),
    "an invalidation of this version is late": (
        *(CACHE, "_inv", "x.msg.stale >= x.version", "x.msg.stale > x.version"),
    ),
    "an older update is taken": (
        *(CACHE, "_update", "max(x.version, x.dead_through)", "x.dead_through"),
    ),
    "a version comes alive again": (
        *(CACHE, "_kill", "max(x.dead_through, stale)", "min(x.dead_through, stale)"),
    ),
    "a PutS has an old serial": (CACHE, "_put_s", "x.serial += 1", "x.serial += 0"),
    "a copy has no bound": (
        *(
            CACHE,
            "_ask",
            "SetTimer(VALIDITY, x.now + x.policy.validity)",
            "SetTimer(VALIDITY, x.now + 9e9)",
        ),
    ),
}


def seeded(name: str) -> AbstractContextManager[None]:
    """The function with the mistake in place of the shipped one."""
    return mistaken(*SEEDS[name])
