----------------------------- MODULE CausalLinks -----------------------------
(***************************************************************************)
(* What the sender-side protocols put on their links, by the names of      *)
(* causal/messages.py.  A message of the application is told by its        *)
(* sender's count alone: no protocol looks at more of it.                  *)
(*                                                                         *)
(* Not modelled, here and in the protocols: links that lose or repeat,     *)
(* hence no timer, and crashes, hence no views.  The Python models have    *)
(* both.                                                                   *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
  Processes,
  Guarantee     \* of the links, see module Network

ASSUME Guarantee \in {"Ordered", "Unordered"}

VARIABLE net    \* pairs of processes -> channels

INSTANCE Network

Pairs == {<<p, q>> \in Processes \X Processes : p # q}

(* prev is the id of the sender's message before this one to the same process; 0 where the links, *)
(* or the protocol by sending one message at a time, keep the order of each pair.                 *)
DataOf(id, prev, eager) == [type |-> "Data", id |-> id, prev |-> prev, eager |-> eager]
AckOf(id) == [type |-> "Ack", id |-> id]             \* delivered, up to id
ReleaseOf(id) == [type |-> "Release", id |-> id]     \* you can tell, up to id

(* What may come next from s to p. *)
Coming(p, s, type) == {m \in Arriving(net[<<s, p>>]) : m.type = type}

(* out is a sequence of <<destination, packet>>. *)
RECURSIVE Posted(_, _, _)
Posted(channels, p, out) ==
  IF out = << >> THEN channels
  ELSE Posted([channels EXCEPT ![<<p, Head(out)[1]>>] = With(@, Head(out)[2])], p, Tail(out))

Posts(p, out) == net' = Posted(net, p, out)

(* p takes m, which s sent, and posts out. *)
Takes(p, s, m, out) ==
  net' = Posted([net EXCEPT ![<<s, p>>] = Without(@, m)], p, out)

(* A set of records in the order of their ids. *)
RECURSIVE ById(_)
ById(set) ==
  IF set = {} THEN << >>
  ELSE LET first == CHOOSE x \in set : \A y \in set : x.id <= y.id
       IN  <<first>> \o ById(set \ {first})

Quiet == \A pair \in Pairs : Size(net[pair]) = 0
=============================================================================
