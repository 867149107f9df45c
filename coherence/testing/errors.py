"""The findings of an exploration, and the reasons why it has no answer.

::

    CallerError
    ├── BadToken               the token plays no schedule of this program
    ├── Nondeterminism         one schedule, played twice, did two different things
    └── Stuck                  an agent does something that the scheduler does not see
    Found (AssertionError)     an exploration has found a failure; `cause` is one of:
    ├── LostUpdate             a version was replaced by an agent that had not seen it
    ├── Deadlock               agents wait for each other, or for nothing that will happen
    ├── StaleDecision          a write rests on a version that another agent had replaced
    ├── NotSerial              no order of whole agents gives this outcome
    └── the error of an agent's function, of the program or of an invariant
"""

from __future__ import annotations

from message_passing.errors import CallerError


class BadToken(CallerError):
    """A token that cannot be read, or that plays no schedule of this program."""

    remedy = "use the token that the failure was reported with, for the same program"


class Nondeterminism(CallerError):
    """The program did something else under a schedule that was played before."""

    remedy = "take chance, the clock, sets of objects and what earlier runs left out of the program"


class Stuck(CallerError):
    """An agent has made no move for some seconds of real time."""

    remedy = "wait through the workspace, or a lock that the program makes as threading.Lock()"


class LostUpdate(AssertionError):
    """A version was replaced by an agent that had not seen it."""


class Deadlock(AssertionError):
    """Agents wait, and no agent can make a move."""


class StaleDecision(AssertionError):
    """An agent wrote on the strength of a version that another agent had replaced."""


class NotSerial(AssertionError):
    """The outcome is that of no order in which the agents run one after the other."""


class Ended(BaseException):
    """The run is over: every agent unwinds.  Let it pass."""


class Killed(BaseException):
    """The process of this agent has died here.  Let it pass."""
