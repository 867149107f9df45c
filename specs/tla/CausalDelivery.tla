--------------------------- MODULE CausalDelivery ---------------------------
(***************************************************************************)
(* Causal delivery as an abstract specification, for every protocol that   *)
(* provides it.  If one message happened before another and both are       *)
(* addressed to one process, they are delivered there in that order.       *)
(*                                                                         *)
(* The module has neither a network nor a protocol, only history.          *)
(* Happens-before is Lamport's ("Time, Clocks, and the Ordering of         *)
(* Events", 1978): all that a process sent or was delivered precedes all   *)
(* that it sends later, and so on through chains. past[p] is the set of    *)
(* messages that precede the next message of p.                            *)
(*                                                                         *)
(* A message is named <<its sender, its sender's count, its destination>>. *)
(* Not modelled: a message from a process to itself, which is delivered    *)
(* when it is sent.                                                        *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANT Processes

VARIABLES
  past,     \* Processes -> the messages in its causal past
  pending   \* messages that are sent and not delivered -> the messages in their causal past

avars == <<past, pending>>

Dst(m) == m[3]
Pending == DOMAIN pending
All == UNION {past[p] : p \in Processes}
Of(p) == {m \in past[p] : m[1] = p}

ATypeOK ==
  /\ \A m \in All : m \in Processes \X Nat \X Processes /\ m[1] # m[3]
  /\ \A m \in Pending : m \in past[m[1]] /\ pending[m] \subseteq All

AInit ==
  /\ past = [p \in Processes |-> {}]
  /\ pending = << >>

(* The effect of a send and of a delivery on history. *)
AfterSend(p, q) ==
  LET m == <<p, Cardinality(Of(p)) + 1, q>>
  IN  /\ past' = [past EXCEPT ![p] = @ \cup {m}]
      /\ pending' = [x \in Pending \cup {m} |-> IF x = m THEN past[p] ELSE pending[x]]

AfterDeliver(p, batch) ==
  /\ past' = [past EXCEPT ![p] = @ \cup batch \cup UNION {pending[m] : m \in batch}]
  /\ pending' = [m \in Pending \ batch |-> pending[m]]

(* The whole promise: no message that precedes m is still in transit to the same process, unless  *)
(* it is in the same batch.  A batch stands for one delivery of each message in it, causes first. *)
Due(m, batch) == \A x \in pending[m] : Dst(x) = Dst(m) => x \notin Pending \ batch

ASend(p, q) == p # q /\ AfterSend(p, q)

ADeliver(p, batch) ==
  /\ batch # {}
  /\ \A m \in batch : m \in Pending /\ Dst(m) = p /\ Due(m, batch)
  /\ AfterDeliver(p, batch)

ANext ==
  \E p \in Processes :
    \/ \E q \in Processes : ASend(p, q)
    \/ \E batch \in SUBSET Pending : ADeliver(p, batch)

ASpec == AInit /\ [][ANext]_avars

(* There is always a message that may be delivered: waiting for earlier messages is not a *)
(* deadlock.                                                                              *)
NeverStuck == Pending # {} => \E m \in Pending : Due(m, {m})
=============================================================================
