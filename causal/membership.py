"""What an endpoint does about its team: what it tells its transport, what is lost, who is silent.

The rules are the machine's (:mod:`causal.views`); here is what they mean for a driver.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from causal.alarm import Alarm
from causal.journal import WrongJournal
from causal.messages import DepartedPeer, PeerDown, Probe
from causal.transports.port import NoRoute, Transport
from causal.views import View, Viewed
from message_passing.errors import CallerError, EnvironmentFault
from message_passing.process import Address, Time

PATIENCE_S: Final = 10.0
"""How long the end of an `async with` block waits for deliveries."""

CONFIRM_S: Final = 2.0
"""How long an endpoint that has left waits until every member knows."""

ASKED: Final = 4
"""How often a silent member is asked before it is excluded."""

_log = logging.getLogger(__name__)


class Undelivered(EnvironmentFault):
    """An endpoint has left the team with messages that are not known to be delivered."""

    remedy = "leave with more time; exclude members that have crashed; `messages` lists them"

    def __init__(self, name: Address, messages: Sequence[tuple[Address, int]]) -> None:
        #: Destination and id of each.
        self.messages = tuple(messages)
        some = ", ".join(f"{id} to {dst!r}" for dst, id in messages[:5])
        more = len(messages) - 5
        rest = f" and {more} more" if more > 0 else ""
        super().__init__(f"{name!r} has left without the delivery of {some}{rest}")


class Membership:
    """The view of an endpoint's machine, carried to its transport."""

    def __init__(self, machine: Viewed[Any], transport: Transport, lost_max: int) -> None:
        self._machine, self._transport = machine, transport
        self._view: View = machine.founding()
        self.lost: deque[tuple[Address, int]] = deque(maxlen=lost_max)
        self.excluded = False

    @property
    def admitted(self) -> bool:
        """Whether the endpoint is, or was, a member."""
        return self._view.admitted

    @property
    def left(self) -> bool:
        """Whether the endpoint has left by itself."""
        return self._view.left

    def recover(self, state: Any) -> None:
        """Begin with a state from a journal.  Raises `WrongJournal` if its endpoint has left."""
        self._view = state.view
        if self._machine.is_out(state):
            raise WrongJournal(
                f"{self._machine.me!r} has left the team, or was excluded",
                remedy="begin a new journal under a new name",
            )

    def tell(self) -> None:
        """Tell the transport all that has changed since the team was founded."""
        self._carry(self._machine.founding(), self._view)

    def admissible(self, name: Address, address: str) -> None:
        """Raises `CallerError` if that endpoint cannot be admitted; else the transport knows it."""
        if name in self._view.gone:
            raise DepartedPeer(f"{name!r} has left the view of {self._machine.me!r}")
        if self._machine.placed(self._view, name) is None:
            self._transport.admit(name, address)

    def changed(self, before: Any, after: Any) -> None:
        """A step has changed the view."""
        old, self._view = before.view, after.view
        out = self._machine.is_out(after)
        self.excluded = out and not self.left
        gone = set(after.view.gone) - set(old.gone)
        if gone:
            unknown = self._machine.undelivered(before)
            self.lost += [item for item in unknown if out or item[0] in gone]
        self._carry(old, after.view)

    def _carry(self, old: View, new: View) -> None:
        me, here = self._machine.me, {member.name for member in old.joined}
        for member in new.joined:
            if member.name not in here and member.name != me:
                try:
                    self._transport.admit(member.name, member.address)
                except NoRoute as error:
                    _log.warning("%s cannot reach a new member: %s", me, error)
        for name in set(new.gone) - set(old.gone) - {me}:
            self._transport.forget(name)


class Watched(Protocol):
    """The endpoint, as its watch uses it."""

    machine: Viewed[Any]

    @property
    def state(self) -> Any: ...

    def _ask(self, request: Any) -> Any: ...

    def _stopped(self) -> Exception | None: ...


class Silence:
    """Counts how often each member was asked since it was last heard.  Pure: it reads no clock."""

    def __init__(self) -> None:
        self._asked: Counter[Address] = Counter()

    def heard(self, peer: Address) -> None:
        """Any packet counts."""
        self._asked.pop(peer, None)

    def forget(self) -> None:
        """Count from the beginning: the silence may be ours."""
        self._asked.clear()

    def ask(self, owing: Iterable[Address]) -> tuple[list[Address], list[Address]]:
        """The members to ask now, and those that were asked often enough."""
        owing = list(owing)
        self._asked = Counter({peer: self._asked[peer] + 1 for peer in owing})
        silent = [peer for peer in owing if self._asked[peer] > ASKED]
        return [peer for peer in owing if peer not in silent], silent


class Watch:
    """Asks the members that owe something, and excludes those that never answer.

    It runs only while something is owed.  If a ring comes late by a whole period, this process was
    suspended, and the silence of all others means nothing.
    """

    def __init__(self, suspect_after_s: float, endpoint: Watched) -> None:
        if not suspect_after_s > 0:
            raise CallerError(f"suspect_after_s must be positive, not {suspect_after_s!r}")
        self.period_s = suspect_after_s / ASKED
        self.alarm = Alarm(self._ring)
        self._endpoint, self._silence = endpoint, Silence()
        self.heard = self._silence.heard

    def begin(self, state: Any) -> None:
        """Watch from now on, if something is owed and no ring is due."""
        if self.alarm.is_set or self._endpoint.machine.idle(state):
            return
        self._silence.forget()
        self.alarm.start()
        self.alarm.set(self.alarm.time() + self.period_s)

    def _ring(self, at: Time) -> None:
        self.alarm.cancel()
        endpoint, now = self._endpoint, self.alarm.time()
        if now > at + self.period_s:
            self._silence.forget()
        if endpoint._stopped() is not None or endpoint.machine.is_out(endpoint.state):
            return
        owing = endpoint.machine.owing(endpoint.state)
        if not owing:
            return
        ask, silent = self._silence.ask(owing)
        self.alarm.set(now + self.period_s)
        for peer in ask:
            endpoint._ask(Probe(peer))
        for peer in silent:
            _log.warning("%r has been silent for %g s: excluded", peer, self.period_s * ASKED)
            endpoint._ask(PeerDown(peer))
