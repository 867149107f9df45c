"""Mistakes in the hybrid that its proof must refute, each a replacement in the shipped source."""

from __future__ import annotations

from dataclasses import dataclass

from message_passing.network import Guarantee
from specs.symbolic import hybrid_claims as c
from specs.symbolic.engine import Effort
from specs.symbolic.hybrid import HybridProof
from specs.symbolic.proving import Ledger, Refutation


@dataclass(frozen=True)
class Slip:
    """A mistake in one function of `Hybrid`, and the claim that it breaks."""

    name: str
    claim: str
    event: str
    function: str
    old: str
    new: str
    links: Guarantee = Guarantee.UNORDERED

    @property
    def policy(self) -> str:
        """The guarantee of the links, by name."""
        return self.links.value

    def refutation(self) -> Refutation | None:
        """The first execution found that breaks the claim, or None."""
        ledger = Ledger()
        proof = HybridProof(self.links, {self.function: (self.old, self.new)})
        for _ in proof.explore(self.event, ledger, Effort()):
            found = ledger.tally(self.claim).refutations
            if found:
                return found[0]
        return None


SLIPS = (
    Slip(
        "a message is never a secret",
        c.PACKETS,
        "Unicast",
        "invoke",
        "secret = own.older(party) < id",
        "secret = False",
    ),
    Slip(
        "a queued message is never a secret",
        c.PACKETS,
        "Release",
        "free",
        "secret=own.older(party) < id",
        "secret=False",
    ),
    Slip(
        "a message waits for no secret",
        c.PACKETS,
        "Unicast",
        "invoke",
        "if kept.first < kept.next and kept.older(party) < kept.next:",
        "if False:",
    ),
    Slip(
        "the owner of the oldest secret is not told apart",
        c.PACKETS,
        "Unicast",
        "invoke",
        "kept.older(party) < kept.next",
        "kept.second < kept.next",
    ),
    Slip(
        "queued messages to any process pass the oldest secret",
        c.QUEUE,
        "Release",
        "free",
        "if found[1].party == kept.party:",
        "if True:",
    ),
    Slip(
        "queued messages to the owner pass secrets of others",
        c.QUEUE,
        "Release",
        "free",
        "found[1].need <= kept.second:",
        "found[1].need <= kept.next:",
    ),
    Slip(
        "the queue is read from the wrong cursor",
        c.QUEUE,
        "Release",
        "free",
        "ahead = max(waiting, ahead)",
        "ahead = stop",
    ),
    Slip(
        "a recipient keeps no secret",
        c.SECRETS,
        "Data",
        "data",
        "kept = kept.append(Kept(party, got))",
        "pass",
    ),
    Slip(
        "a secret is forgotten if an older one was released",
        c.SECRETS,
        "Data",
        "data",
        "got > link.told",
        "link.told < 1",
    ),
    Slip(
        "a message is delivered before its turn",
        c.CAUSAL,
        "Data",
        "data",
        "packet.prev != link.got",
        "packet.prev > packet.id",
    ),
    Slip(
        "an acknowledgement says too much",
        c.PACKETS,
        "Data",
        "data",
        "commands.insert(at, Send(src, Ack(got, view)))",
        "commands.insert(at, Send(src, Ack(got + 1, view)))",
    ),
    Slip(
        "a release says too much",
        c.PACKETS,
        "Ack",
        "release",
        "Send(dst, Release(key, changes))",
        "Send(dst, Release(own.second, changes))",
    ),
    Slip(
        "an acknowledgement does not follow the chain",
        c.CHAIN,
        "Ack",
        "acked",
        "key = entry.prev",
        "key = key - 1",
    ),
    Slip(
        "an acknowledged secret is forgotten",
        c.BOOKS,
        "Ack",
        "acked",
        "if entry.secret:",
        "if not entry.secret:",
    ),
    Slip(
        "a release ends younger secrets",
        c.SECRETS,
        "Release",
        "released",
        "told=id",
        "told=id + 1",
    ),
    Slip(
        "messages of one pair are not chained",
        c.PACKETS,
        "Unicast",
        "invoke",
        "prev = link.out if self.chained else 0",
        "prev = 0",
    ),
    Slip(
        "a repeated message is not a secret",
        c.PACKETS,
        "again",
        "packet",
        "own.secret",
        "False",
    ),
)
