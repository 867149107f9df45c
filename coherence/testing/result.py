"""What an exploration says: how much it has covered, what it has found, and how to see it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby, pairwise
from urllib.parse import quote, unquote

from coherence.testing.errors import BadToken
from coherence.testing.faults import Fault
from coherence.testing.moves import NOBODY
from coherence.testing.scheduler import BEGINNING, ChartLine, TeamRun
from message_passing.chart import Arrow
from message_passing.chart import mermaid as mermaid_of


class ExplorationVerdict(Enum):
    """What an exploration has shown."""

    PROOF = "proof"
    COUNTEREXAMPLE = "counterexample"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class Token:
    """A schedule in one line, for `replay`."""

    schedule: tuple[str, ...]
    grain: str = "call"
    fault: Fault | None = None

    def __str__(self) -> str:
        head = [self.grain] if self.grain != "call" else []
        if self.fault is not None:
            head.append("/".join((self.fault.kind, str(self.fault.at), quote(self.fault.agent))))
        blocks = [(name, len(list(same))) for name, same in groupby(self.schedule)]
        words = [f"{quote(name)}*{n}" if n > 1 else quote(name) for name, n in blocks]
        return " ".join([*(f"[{word.replace(' ', '-')}]" for word in head), *words])

    @property
    def switches(self) -> int:
        """How often another agent goes on than the one before."""
        return sum(one != other for one, other in pairwise(self.schedule))

    @classmethod
    def parse(cls, text: str) -> Token:
        """The token that `text` is.  Raises `BadToken`."""
        grain, fault, schedule = "call", None, list[str]()
        try:
            for word in text.split():
                if not word.startswith("["):
                    name, _, times = word.partition("*")
                    schedule += [unquote(name)] * int(times or 1)
                elif "/" not in word:
                    grain = word[1:-1]
                else:
                    kind, at, agent = word[1:-1].split("/")
                    fault = Fault(kind.replace("-", " "), int(at), unquote(agent))
        except (ValueError, AttributeError) as error:
            raise BadToken(f"{text!r} is not a token") from error
        if not schedule or grain not in ("call", "transaction"):
            raise BadToken(f"{text!r} is not a token")
        return cls(tuple(schedule), grain, fault)


def chart(run: TeamRun) -> str:
    """The moves of a run, one a line, in columns of agents."""
    names = {line.actor: run.actors[line.actor].name for line in run.lines if line.actor != NOBODY}
    names = {index: names[index] for index in sorted(names)}
    width = max([len(name) for name in names.values()], default=0) + 2
    rows = ["step  " + "".join(name.ljust(width) for name in names.values()) + "what"]
    number = 0
    for line in _collapsed(run.lines):
        outcome = f" → {line.outcome}" if line.outcome else ""
        if line.actor == NOBODY:
            rows.append("      " + "·" * (width * len(names)) + line.label)
            continue
        number += 1
        marks = "".join(("●" if index == line.actor else "│").ljust(width) for index in names)
        rows.append(f"{number:4}  {marks}{names[line.actor]}: {line.label}{outcome}")
    return "\n".join(rows)


def mermaid(run: TeamRun) -> str:
    """The moves of a run as the source of a Mermaid `sequenceDiagram`."""
    names = [actor.name for actor in run.actors]
    arrows = [
        Arrow(line.at, names[line.actor], names[line.actor], line.label)
        for line in run.lines
        if line.actor != NOBODY
    ]
    return mermaid_of(arrows, order=names)


def _collapsed(lines: Sequence[ChartLine]) -> list[ChartLine]:
    """The lines, with each passing of time as one."""
    found: list[ChartLine] = []
    for is_time, some in groupby(lines, key=lambda line: line.actor == NOBODY):
        group = list(some)
        if not is_time:
            found += group
            continue
        until = group[-1].at - BEGINNING
        found.append(ChartLine(NOBODY, f" time passes, to {until:g} s", group[-1].at))
    return found


@dataclass
class Result:
    """The account of an exploration."""

    #: Schedules that were played to their end, and those that would have shown nothing new.
    schedules: int = 0
    cut_short: int = 0
    #: The most moves of one schedule.
    longest: int = 0
    #: What the program returned, by `repr`, and how often.
    outcomes: Counter[str] = field(default_factory=Counter)
    #: Whether every schedule was played, up to the order of moves that commute, and every fault.
    exhaustive: bool = False
    #: Every schedule with so many preemptions at most was played; None if not even those.
    preemptions: int | None = None
    #: Why it may not be a proof all the same.
    doubts: list[str] = field(default_factory=list)
    #: Real time.
    seconds: float = 0.0
    grain: str = "call"
    #: How many faults were tried.
    faults: int = 0
    found: Found | None = None

    @property
    def verdict(self) -> ExplorationVerdict:
        """What it has shown."""
        if self.found is not None:
            return ExplorationVerdict.COUNTEREXAMPLE
        is_proof = self.exhaustive and not self.doubts
        return ExplorationVerdict.PROOF if is_proof else ExplorationVerdict.UNDETERMINED

    @property
    def _bounded(self) -> str:
        if self.preemptions is None:
            return ""
        return f" beyond {self.preemptions} preemptions"

    def __str__(self) -> str:
        words = [
            f"{self.verdict.value}: {self.schedules} schedules"
            + (f" and {self.cut_short} cut short" if self.cut_short else ""),
            f"at most {self.longest} moves",
            "exhaustive" if self.exhaustive else "NOT exhaustive" + self._bounded,
            *((f"{self.faults} faults",) if self.faults else ()),
            *dict.fromkeys(self.doubts),
        ]
        return ", ".join(words)


class Found(AssertionError):
    """A schedule under which the program fails; its cause is `cause`."""

    def __init__(self, cause: BaseException, token: Token, run: TeamRun, result: Result) -> None:
        self.cause, self.token, self.result = cause, str(token), result
        #: Its moves, one a line, and as a Mermaid diagram.
        self.chart, self.mermaid = chart(run), mermaid(run)
        self.switches = token.switches
        kind = type(cause).__name__
        fault = f"\nfault: {token.fault}" if token.fault is not None else ""
        super().__init__(
            f"{kind}: {cause}\n\n{self.chart}{fault}\n\n"
            f"found in schedule {result.schedules}, with {self.switches} switches; "
            f"to see it again: replay(program, {self.token!r})"
        )
