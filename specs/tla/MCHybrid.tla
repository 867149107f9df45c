------------------------------ MODULE MCHybrid ------------------------------
(***************************************************************************)
(* Hybrid implements CausalDelivery, whose variables are history: each     *)
(* action states its effect on them, and no guard reads them.              *)
(***************************************************************************)
EXTENDS Hybrid

CONSTANT Sends
VARIABLES past, pending

INSTANCE MCCausal

history == <<past, pending>>

HInit == Init /\ AInit

HSend(p, q) == MaySend(p, q) /\ Send(p, q) /\ AfterSend(p, q)

HReceiveData(p, s) ==
  \E m \in Coming(p, s, "Data") :
    /\ ReceiveData(p, s, m)
    /\ AfterDeliver(p, {<<s, id, p>> : id \in {x.id : x \in Run(p, s, m)}})

HFile(p, s) == File(p, s) /\ UNCHANGED history

HReceiveAck(p, s) == ReceiveAck(p, s) /\ UNCHANGED history

HDuplicate(p, s) == Duplicate(p, s) /\ UNCHANGED history

HReceiveRelease(p, s) == ReceiveRelease(p, s) /\ UNCHANGED history

Receives(p, s) ==
  \/ HReceiveData(p, s) \/ HFile(p, s)
  \/ HReceiveAck(p, s) \/ HDuplicate(p, s)
  \/ HReceiveRelease(p, s)

HNext ==
  \E <<p, q>> \in Pairs :
    \/ HSend(p, q)
    \/ HReceiveData(p, q) \/ HFile(p, q)
    \/ HReceiveAck(p, q) \/ HDuplicate(p, q)
    \/ HReceiveRelease(p, q)

HSpec == HInit /\ [][HNext]_<<vars, history>>

FairSpec == HSpec /\ \A <<p, s>> \in Pairs : WF_<<vars, history>>(Receives(p, s))

Refines == ASpec

THEOREM HSpec => Refines

(* If no packet is in transit, no message, secret or acknowledgement is pending. *)
Drained ==
  Quiet =>
    /\ Pending = {}
    /\ \A p \in Processes :
         queue[p] = << >> /\ flight[p] = {} /\ secrets[p] = {} /\ filed[p] = {}
    /\ \A p, s \in Processes : told[p][s] = 0

-----------------------------------------------------------------------------
(* For configurations that must fail. *)

(* No process keeps a secret. *)
KeepsNone(p, s, m) == FALSE

(* Only messages that went count as undelivered, not queued ones. *)
EarlierOnWire(q, f, m) == \E x \in {e \in f : ~e.acked} : x.id < m.id /\ x.dst # m.dst

(* The order of a pair is not kept on links that reorder. *)
Unchained == FALSE
=============================================================================
