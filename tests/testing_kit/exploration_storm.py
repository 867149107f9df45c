"""Ctrl-C at random moments of explorations: ``exploration_storm.py URL INTERRUPTS SEED``.

Prints what was wrong afterwards, a line each.
"""

import gc
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import programs

from coherence.testing import ExplorationVerdict, explore
from message_passing.interrupts import start

#: A few agents, each in a thread that is kept, and what a thread has left to do.
THREADS_MAX = 15
PLAIN = threading.Lock, time.sleep, threading.Thread.start


def interrupted(url: str, seconds: float) -> str:
    """What was wrong, if anything."""
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        start(timer)
        explore(programs.typical, store=url, reduce=False, seconds=60, schedules=10**6)
    except KeyboardInterrupt:
        pass
    else:
        return "the interrupt was lost"
    if (threading.Lock, time.sleep, threading.Thread.start) != PLAIN:
        return "something was not put back"
    if threading.active_count() > THREADS_MAX:
        return "threads were left"
    if not gc.isenabled() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return "the collector or the handler was not put back"
    return ""


def main(url: str, interrupts: int, seed: int) -> None:
    chance = random.Random(seed)
    explore(programs.updating, store=url)  # imports what it needs
    for number in range(interrupts):
        if wrong := interrupted(url, 0.001 + chance.random() * 0.05):
            sys.stdout.write(f"{number}: {wrong}\n")
        if explore(programs.updating, store=url).verdict is not ExplorationVerdict.PROOF:
            sys.stdout.write(f"{number}: no proof afterwards\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
