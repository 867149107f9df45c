"""The core of Raft: elections and the log (Ongaro and Ousterhout 2014, section 5).

Servers restart, and the network loses, repeats and reorders messages.  The bounds are those that
make it finite: on terms, logs, and messages in transit.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

from specs.checker.model import Action, Model, always, reachable
from specs.examples.tuples import put

Role: TypeAlias = Literal["follower", "candidate", "leader"]
#: A log holds (term, value) pairs; indices into it count from 1.
Log: TypeAlias = tuple[tuple[int, str], ...]


class Replica(NamedTuple):
    """One server.  Only `term`, `voted_for` and `log` outlive a restart."""

    next_index: tuple[int, ...]
    match_index: tuple[int, ...]
    role: Role = "follower"
    term: int = 1
    voted_for: int | None = None
    log: Log = ()
    commit_index: int = 0
    #: As a candidate: servers that answered, and those that granted their vote.
    responded: frozenset[int] = frozenset()
    granted: frozenset[int] = frozenset()

    @property
    def last(self) -> tuple[int, int]:
        """The term of the last entry and its index: the later log has the larger pair."""
        return (self.log[-1][0] if self.log else 0, len(self.log))


class Message(NamedTuple):
    """A message, with a body of its kind.  The logs are history, kept for counts equal to TLC's.

    * AskVote: the candidate's last entry.  Voted: whether granted, the voter's log.
    * Append: the entry before, at most one entry, the commit index, the leader's log.
    * Appended: whether the entry fitted, the index up to which the logs agree.
    """

    kind: Literal["AskVote", "Voted", "Append", "Appended"]
    source: int
    to: int
    term: int
    body: tuple[Any, ...]


class Cluster(NamedTuple):
    """The servers, and how often each message is in transit."""

    servers: tuple[Replica, ...]
    messages: frozenset[tuple[Message, int]] = frozenset()

    def add(self, message: Message, more: int = 1) -> Cluster:
        """The same with `more` copies of a message in transit."""
        copies = dict(self.messages)
        copies[message] = copies.get(message, 0) + more
        return self._replace(messages=frozenset(each for each in copies.items() if each[1]))

    def server(self, me: int, **changes: Any) -> Cluster:
        """The same with changes at one server."""
        return self._replace(servers=put(self.servers, me, self.servers[me]._replace(**changes)))


Steps: TypeAlias = Iterator[tuple[str, Cluster]]


def raft(
    servers: int = 2, terms: int = 2, entries: int = 1, messages: int = 1, *, recalls: bool = True
) -> Model[Cluster, Cluster]:
    """Raft with one client value.  A server that does not recall its vote gives it twice in a term.

    Terms up to `terms`, logs of up to `entries`, up to `messages` different messages in transit.
    """
    everyone = range(servers)
    fresh = Replica((1,) * servers, (0,) * servers)

    def actions(s: Cluster) -> Iterator[tuple[Action, Cluster]]:
        for me in everyone:
            for name, after in spontaneous(s, me):
                yield Action(name, f"s{me + 1}"), after
        for message, _ in s.messages:
            yield Action("Duplicate", "network"), s.add(message)
            yield Action("Drop", "network"), s.add(message, -1)
            for name, after in received(s, message):
                yield Action(name, f"s{message.to + 1}"), after

    def spontaneous(s: Cluster, me: int) -> Steps:
        own = s.servers[me]
        kept = fresh._replace(term=own.term, voted_for=own.voted_for, log=own.log)
        yield "Restart", s._replace(servers=put(s.servers, me, kept))
        if own.role != "leader":
            none = frozenset[int]()
            begun = s.server(me, role="candidate", term=own.term + 1, voted_for=None)
            yield "Timeout", begun.server(me, responded=none, granted=none)
        if own.role == "candidate":
            for other in everyone:
                if other not in own.responded:
                    yield "RequestVote", s.add(Message("AskVote", me, other, own.term, (own.last,)))
            if 2 * len(own.granted) > servers:
                leads = s.server(me, role="leader", match_index=fresh.match_index)
                following = (len(own.log) + 1,) * servers
                yield "BecomeLeader", leads.server(me, next_index=following)
        if own.role == "leader":
            yield "ClientRequest", s.server(me, log=(*own.log, (own.term, "v")))
            yield "AdvanceCommitIndex", s.server(me, commit_index=agreed(own, me))
            for other in everyone:
                if other != me:
                    yield "AppendEntries", s.add(append(own, me, other))

    def agreed(own: Replica, me: int) -> int:
        """The last index that a majority holds, if its entry is of this term."""
        for index in range(len(own.log), 0, -1):
            if 2 * sum(k == me or own.match_index[k] >= index for k in everyone) > servers:
                return index if own.log[index - 1][0] == own.term else own.commit_index
        return own.commit_index

    def append(own: Replica, me: int, other: int) -> Message:
        before = own.next_index[other] - 1
        last = min(len(own.log), before + 1)
        previous = (own.log[before - 1][0] if before else 0, before)
        body = (previous, own.log[before:last], min(own.commit_index, last), own.log)
        return Message("Append", me, other, own.term, body)

    def received(s: Cluster, m: Message) -> Steps:
        me, own, rest = m.to, s.servers[m.to], s.add(m, -1)

        def answer(kind: Literal["Voted", "Appended"], *body: Any) -> Message:
            return Message(kind, me, m.source, own.term, body)

        match m.kind, m.body:
            case _ if m.term > own.term:
                yield "UpdateTerm", s.server(me, role="follower", term=m.term, voted_for=None)
            case "AskVote", (last,):
                grant = m.term == own.term and last >= own.last
                grant = grant and (not recalls or own.voted_for in (None, m.source))
                after = rest.server(me, voted_for=m.source) if grant else rest
                yield "Vote", after.add(answer("Voted", grant, own.log))
            case "Append", ((term, index), sent, commit_index, _):
                fits = index == 0 or (index <= len(own.log) and own.log[index - 1][0] == term)
                held = own.log[index : index + 1]
                if m.term == own.term and own.role == "candidate":
                    yield "StepDown", s.server(me, role="follower")
                elif m.term < own.term or (own.role == "follower" and not fits):
                    yield "Reject", rest.add(answer("Appended", False, 0))
                elif not sent or (held and held[0][0] == sent[0][0]):
                    after = rest.server(me, commit_index=commit_index)
                    yield "Accept", after.add(answer("Appended", True, index + len(sent)))
                elif held:
                    yield "RemoveConflict", s.server(me, log=own.log[:-1])
                else:
                    yield "AppendEntry", s.server(me, log=own.log + sent)
            case _ if m.term < own.term:
                yield "DropStale", rest
            case "Voted", (granted, _):
                after = rest.server(me, responded=own.responded | {m.source})
                votes = own.granted | {m.source} if granted else own.granted
                yield "CountVote", after.server(me, granted=votes)
            case "Appended", (True, index):
                after = rest.server(me, match_index=put(own.match_index, m.source, index))
                following = put(own.next_index, m.source, index + 1)
                yield "Acknowledged", after.server(me, next_index=following)
            case "Appended", _:
                following = put(own.next_index, m.source, max(own.next_index[m.source] - 1, 1))
                yield "Refused", rest.server(me, next_index=following)

    def one_leader(s: Cluster) -> bool:
        leaders = [server.term for server in s.servers if server.role == "leader"]
        return len(leaders) == len(set(leaders))

    def committed_agree(s: Cluster) -> bool:
        logs = sorted((server.log[: server.commit_index] for server in s.servers), key=len)
        return all(longer[: len(log)] == log for log, longer in pairwise(logs))

    def within(s: Cluster) -> bool:
        return (
            all(own.term <= terms and len(own.log) <= entries for own in s.servers)
            and len(s.messages) <= messages
            and all(copies == 1 for _, copies in s.messages)
        )

    return Model(
        "raft",
        [Cluster((fresh,) * servers)],
        actions,
        [
            always("one leader a term", one_leader),
            always("committed entries agree", committed_agree),
            reachable("an entry is committed", lambda s: any(x.commit_index for x in s.servers)),
        ],
        within=within,
    )
