----------------------------- MODULE CausalLinks -----------------------------
(***************************************************************************)
(* The packets that the sender-side protocols put on their links, under    *)
(* the names of causal/messages.py.  An application message is identified  *)
(* by its sender's count alone: no protocol reads more of it.              *)
(*                                                                         *)
(* Not modelled, here and in the protocols: links that lose or repeat      *)
(* packets, and so no timer; crashes, and so no views.  The Python models  *)
(* have both.                                                              *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
  Processes,
  Guarantee     \* the guarantee of the links, see module Network

ASSUME Guarantee \in {"Ordered", "Unordered"}

VARIABLE net    \* pairs of processes -> channels

INSTANCE Network

Pairs == {<<p, q>> \in Processes \X Processes : p # q}

(* prev is the id of the sender's previous message to the same process.  It is 0 where the links *)
(* keep the order of each pair, or the protocol does by sending one message at a time.           *)
DataOf(id, prev, eager) == [type |-> "Data", id |-> id, prev |-> prev, eager |-> eager]
AckOf(id) == [type |-> "Ack", id |-> id]             \* all messages up to id are delivered
ReleaseOf(id) == [type |-> "Release", id |-> id]     \* secrets up to id have ended

(* The packets of one type that may arrive next at p from s. *)
Coming(p, s, type) == {m \in Arriving(net[<<s, p>>]) : m.type = type}

(* out is a sequence of <<destination, packet>>. *)
RECURSIVE Posted(_, _, _)
Posted(channels, p, out) ==
  IF out = << >> THEN channels
  ELSE Posted([channels EXCEPT ![<<p, Head(out)[1]>>] = With(@, Head(out)[2])], p, Tail(out))

Posts(p, out) == net' = Posted(net, p, out)

(* p receives m, which s sent, and posts the packets in out. *)
Takes(p, s, m, out) ==
  net' = Posted([net EXCEPT ![<<s, p>>] = Without(@, m)], p, out)

(* The records of a set, in the order of their ids. *)
RECURSIVE ById(_)
ById(set) ==
  IF set = {} THEN << >>
  ELSE LET first == CHOOSE x \in set : \A y \in set : x.id <= y.id
       IN  <<first>> \o ById(set \ {first})

Quiet == \A pair \in Pairs : Size(net[pair]) = 0
=============================================================================
