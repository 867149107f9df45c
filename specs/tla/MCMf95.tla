------------------------------- MODULE MCMf95 -------------------------------
(***************************************************************************)
(* Mf95 implements CausalDelivery, whose variables are history: each       *)
(* action states its effect on them, and no guard reads them.              *)
(***************************************************************************)
EXTENDS Mf95

CONSTANT Sends
VARIABLES past, pending

INSTANCE MCCausal

history == <<past, pending>>

HInit == Init /\ AInit

HSend(p, q) == MaySend(p, q) /\ Send(p, q) /\ AfterSend(p, q)

HReceiveData(p, s) ==
  \E m \in Coming(p, s, "Data") : ReceiveData(p, s, m) /\ AfterDeliver(p, {<<s, m.id, p>>})

HReceiveAck(p, s) == ReceiveAck(p, s) /\ UNCHANGED history

Receives(p, s) == HReceiveData(p, s) \/ HReceiveAck(p, s)

HNext == \E <<p, q>> \in Pairs : HSend(p, q) \/ HReceiveData(p, q) \/ HReceiveAck(p, q)

HSpec == HInit /\ [][HNext]_<<vars, history>>

FairSpec == HSpec /\ \A <<p, s>> \in Pairs : WF_<<vars, history>>(Receives(p, s))

Refines == ASpec

THEOREM HSpec => Refines

(* If no packet is in transit, no message or acknowledgement is pending. *)
Drained ==
  Quiet => /\ Pending = {}
           /\ \A p \in Processes : queue[p] = << >> /\ flight[p] = {}

(* For a configuration that must fail: two unacknowledged messages instead of one. *)
Window2(unacknowledged) == Cardinality(unacknowledged) < 2
=============================================================================
