----------------------------- MODULE MCNetwork -----------------------------
(***************************************************************************)
(* A network by itself: one process sends the numbers 1 to Last in order,  *)
(* another notes the numbers that arrive.  The twin of                     *)
(* specs/models/courier.py.                                                *)
(***************************************************************************)
EXTENDS Naturals, Sequences

CONSTANTS Guarantee, Last, Longest    \* Longest: how many numbers are noted

INSTANCE Network

VARIABLES sent, channel, noted

vars == <<sent, channel, noted>>

Init == sent = 0 /\ channel = Nothing /\ noted = << >>

Open == Len(noted) < Longest

Send ==
  /\ Open /\ sent < Last
  /\ sent' = sent + 1
  /\ channel' = With(channel, sent + 1)
  /\ UNCHANGED noted

Note ==
  /\ Open
  /\ \E m \in Arriving(channel) :
       /\ noted' = Append(noted, m)
       /\ channel' \in Left(channel, m)
  /\ UNCHANGED sent

Drop ==
  /\ Open
  /\ channel' \in Lost(channel)
  /\ UNCHANGED <<sent, noted>>

Next == Send \/ Note \/ Drop

Spec == Init /\ [][Next]_vars

(* The promises of each guarantee about the numbers that arrived. *)
Ascending == \A i, j \in DOMAIN noted : i < j => noted[i] <= noted[j]
Once == \A i, j \in DOMAIN noted : noted[i] = noted[j] => i = j
NothingMissing ==
  sent = Last /\ Size(channel) = 0 => \A m \in 1..Last : \E i \in DOMAIN noted : noted[i] = m

Promised ==
  /\ IsOrdered => Ascending
  /\ ~IsDuplicating => Once
  /\ ~IsLossy /\ ~IsSet => NothingMissing
=============================================================================
