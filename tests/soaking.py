"""How long soaks are: `SOAK=30 pytest -m slow FILE` runs thirty times as long as CI does."""

import os

SOAK = float(os.environ.get("SOAK", "1"))


def seconds(length: float) -> float:
    """How long it lasts, where CI takes `length` seconds."""
    return length * SOAK


def times(count: int) -> int:
    """How many runs there are, where CI makes `count`."""
    return max(1, int(count * SOAK))


def distance(count: int) -> int:
    """From how many moments one is tried, where CI tries one of `count`."""
    return max(1, round(count / SOAK))
