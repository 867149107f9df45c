"""How long soaks are: CI runs a part, `SOAK=3 pytest -m slow ...` three times as much by hand."""

import os

SOAK = float(os.environ.get("SOAK", "1"))


def times(count: int) -> int:
    """How many runs there are, where CI makes `count`."""
    return max(1, int(count * SOAK))


def distance(count: int) -> int:
    """From how many moments one is tried, where CI tries one of `count`."""
    return max(1, round(count / SOAK))
