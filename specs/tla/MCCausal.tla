------------------------------ MODULE MCCausal ------------------------------
(***************************************************************************)
(* Any application that sends at most a given number of messages, as in    *)
(* specs/models/causal.py: at any moment any process may send to any       *)
(* other.  The first message goes from a to b, since processes are         *)
(* interchangeable.                                                        *)
(***************************************************************************)
EXTENDS CausalDelivery

CONSTANT Sends

MaySend(p, q) ==
  /\ p # q /\ Cardinality(All) < Sends
  /\ All = {} => <<p, q>> = <<"a", "b">>

(* Every message that may be sent. *)
Names == {m \in Processes \X (1..Sends) \X Processes : m[1] # m[3]}

EachDelivered == \A m \in Names : m \in Pending ~> m \notin Pending
=============================================================================
