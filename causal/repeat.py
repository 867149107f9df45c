"""When a message to one peer is repeated on links that lose, and how many at a time.

A silent peer gets the oldest `BATCH` messages, after pauses that double; the rest follow as it
acknowledges, so a peer that reads and never answers costs little.  Pauses are counted in periods of
the one timer, so no state holds a time.  The first sign of life ends them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from causal.messages import Ack, Notice
from causal.views import Commands, Viewed
from message_passing.process import Address, Send, Step, Time, Value

S = TypeVar("S", bound=Any)

BATCH: Final = 64
"""Messages to one peer that are repeated at once: as many as one frame holds."""

FILED_MAX: Final = 1024
"""Messages of one peer that may wait for a predecessor; further ones count as lost."""


class Repeat(Value, frozen=True, gc=False, tag=True, array_like=True):
    """The repetition to one peer.

    `tries` were in vain, up to a limit; `rest` periods are still to pass.  Messages up to `upto`
    follow in batches; 0 means that all have followed.
    """

    tries: int = 0
    rest: int = 0
    upto: int = 0

    @property
    def awake(self) -> Repeat:
        """After a sign of life: without pauses."""
        return Repeat(0, 0, self.upto) if self.upto else NEVER


NEVER: Final = Repeat()
"""Nothing had to be repeated."""


def rested(repeat: Repeat) -> Repeat:
    """One period has passed without a repetition."""
    return Repeat(repeat.tries, repeat.rest - 1, repeat.upto)


def repeated(repeat: Repeat, backoff: int, upto: int) -> Repeat:
    """Something was repeated; the pauses double at most `backoff` times."""
    tries = min(repeat.tries + 1, backoff)
    return Repeat(tries, (1 << tries) - 1, upto)


class Repeating(Viewed[S]):
    """A machine that repeats on links that lose; its links have `got` and `repeat`."""

    # What a protocol adds.

    @abstractmethod
    def link(self, state: S, peer: Address) -> Any:
        """What has passed between this process and a peer; has `got` and `repeat`."""

    @abstractmethod
    def with_link(self, state: S, peer: Address, link: Any) -> S:
        """`state` with one link replaced."""

    @abstractmethod
    def unanswered(self, state: S) -> Sequence[tuple[Address, int]]:
        """Destination and id of the messages that were put on the wire and not acknowledged."""

    @abstractmethod
    def again(self, state: S, id: int) -> Any:
        """The packet of such a message, to be repeated."""

    # What it gets.

    def resend(self, state: S, action: str, now: Time) -> Step[S]:
        """Repeat what is unanswered: messages, views, and the acknowledgement of a secret.

        Its owner may have released it, and the release may be lost.
        """
        if not self.lossy and action != "Restart":
            return Step(state, (), action)
        view, commands = state.view, Commands()
        begins = action == "Restart"
        unanswered = self.unanswered(state)
        owners = tuple(dict.fromkeys(secret.owner for secret in self.secrets(state)))
        ids: dict[Address, list[int]] = {peer: [] for peer in (*owners, *view.unsure)}
        for dst, id in unanswered:
            ids.setdefault(dst, []).append(id)
        due: set[Address] = set()
        for peer, owed in ids.items():
            link = self.link(state, peer)
            if begins or not link.repeat.rest:
                due.add(peer)
                upto = owed[-1] if len(owed) > BATCH else 0
                repeat = repeated(link.repeat, self.backoff, upto)
            else:
                repeat = rested(link.repeat)
            if repeat != link.repeat:
                state = self.with_link(state, peer, replace(link, repeat=repeat))
        late = {id for peer in due for id in ids[peer][:BATCH]}
        commands += [Send(dst, self.again(state, id)) for dst, id in unanswered if id in late]
        for owner in owners:
            if owner in due:
                got = self.link(state, owner).got
                commands.append(Send(owner, Ack(got, self.carried(view, owner))))
        told = self.peers(view) if begins and self.lossy and not self.is_out(state) else view.unsure
        commands += [
            Send(peer, Notice(self.carried(view, peer), ask=True))
            for peer in told
            if begins or peer in due
        ]
        return self.finish(replace(state, ticking=False), commands, action, now)

    def more(self, state: S, src: Address, id: int, commands: Commands) -> Repeat:
        """`src` has acknowledged messages up to `id`: repeat the next batch, if one is left."""
        repeat: Repeat = self.link(state, src).repeat
        if id >= repeat.upto:
            return NEVER
        late = [i for dst, i in self.unanswered(state) if dst == src and id < i <= repeat.upto]
        commands += [Send(src, self.again(state, i)) for i in late[:BATCH]]
        return repeat.awake

    def awaken(self, state: S, src: Address) -> S:
        """`src` lives."""
        link = self.link(state, src)
        if link.repeat == link.repeat.awake:
            return state
        return self.with_link(state, src, replace(link, repeat=link.repeat.awake))

    def owing(self, state: S) -> tuple[Address, ...]:
        """Those that have not acknowledged, released or confirmed something."""
        messages = (dst for dst, _ in self.unanswered(state))
        secrets = (secret.owner for secret in self.secrets(state))
        return tuple(dict.fromkeys((*messages, *secrets, *state.view.unsure)))
