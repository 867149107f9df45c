------------------------------- MODULE MCCykas -------------------------------
(***************************************************************************)
(* Cykas implements CausalDelivery, whose variables are history: each      *)
(* action states its effect on them, and no guard reads them.              *)
(***************************************************************************)
EXTENDS Cykas

CONSTANT Sends
VARIABLES past, pending

INSTANCE MCCausal

history == <<past, pending>>

HInit == Init /\ AInit

HSend(p, q) == MaySend(p, q) /\ Send(p, q) /\ AfterSend(p, q)

HReceiveData(p, s) ==
  \E m \in Coming(p, s, "Data") : ReceiveData(p, s, m) /\ AfterDeliver(p, {<<s, m.id, p>>})

HReceiveAck(p, s) == ReceiveAck(p, s) /\ UNCHANGED history

HReceiveRelease(p, s) == ReceiveRelease(p, s) /\ UNCHANGED history

Receives(p, s) == HReceiveData(p, s) \/ HReceiveAck(p, s) \/ HReceiveRelease(p, s)

HNext ==
  \E <<p, q>> \in Pairs :
    HSend(p, q) \/ HReceiveData(p, q) \/ HReceiveAck(p, q) \/ HReceiveRelease(p, q)

HSpec == HInit /\ [][HNext]_<<vars, history>>

FairSpec == HSpec /\ \A <<p, s>> \in Pairs : WF_<<vars, history>>(Receives(p, s))

Refines == ASpec

THEOREM HSpec => Refines

(* If no packet is in transit, no message, secret or acknowledgement is pending. *)
Drained ==
  Quiet =>
    /\ Pending = {}
    /\ \A p \in Processes :
         queue[p] = << >> /\ flight[p] = {} /\ secrets[p] = {} /\ early[p] = {}

-----------------------------------------------------------------------------
(* For configurations that must fail. *)

(* No process keeps a secret. *)
KeepsNone(m) == FALSE

(* Each release ends all secrets. *)
ToldAll(p, s, m) == {}

(* The literal reading of the note: a message passes queued messages to other processes. *)
RECURSIVE ScannedFrom(_, _, _, _, _)
ScannedFrom(i, q, f, out, behind) ==
  IF i > Len(q) THEN [queue |-> q, flight |-> f, out |-> out]
  ELSE IF q[i].dst \in behind \/ ~MayGo(q[i], f)
       THEN ScannedFrom(i + 1, q, f, out, behind \cup {q[i].dst})
       ELSE LET e == Flies(q[i], q, f)
                rest == SubSeq(q, 1, i - 1) \o SubSeq(q, i + 1, Len(q))
            IN  ScannedFrom(i, rest, f \cup {e}, Append(out, Packet(e)), behind)

Scanned(q, f, out) == ScannedFrom(1, q, f, out, {})

(* The six messages that then block each other for ever. *)
Script == [a |-> <<"c", "c", "b">>, b |-> <<"c", "c", "a">>, c |-> << >>]

Scripted(p, q) == count[p] < Len(Script[p]) /\ Script[p][count[p] + 1] = q
=============================================================================
