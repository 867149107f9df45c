------------------------------ MODULE Network ------------------------------
(***************************************************************************)
(* The possible behaviour of a network towards the messages of one ordered *)
(* pair of processes, under the names of message_passing/network.py.  A    *)
(* channel is one value:                                                   *)
(*                                                                         *)
(*   a sequence   where messages arrive in the order sent,                 *)
(*   a bag        where each arrives at most once, in any order,           *)
(*   a set        where each may arrive again at any later time.           *)
(*                                                                         *)
(* No network forges or alters a message.  A network promises nothing      *)
(* across pairs.  Not modelled: delay, since a message may be received at  *)
(* any later moment.                                                       *)
(***************************************************************************)
EXTENDS Naturals, Sequences

CONSTANT Guarantee

OrderedGuarantees ==
  {"Ordered", "OrderedLossy", "OrderedDuplicating", "OrderedLossyDuplicating"}

UnorderedGuarantees ==
  {"Unordered", "UnorderedLossy", "UnorderedDuplicating", "UnorderedLossyDuplicating"}

ASSUME Guarantee \in OrderedGuarantees \cup UnorderedGuarantees

IsOrdered == Guarantee \in OrderedGuarantees

IsLossy ==
  Guarantee \in {"OrderedLossy", "OrderedLossyDuplicating", "UnorderedLossy",
                 "UnorderedLossyDuplicating"}

IsDuplicating ==
  Guarantee \in {"OrderedDuplicating", "OrderedLossyDuplicating", "UnorderedDuplicating",
                 "UnorderedLossyDuplicating"}

IsSet == IsDuplicating /\ ~IsOrdered

Nothing == IF IsSet THEN {} ELSE << >>    \* the empty sequence is also the empty bag

Count(bag, m) == IF m \in DOMAIN bag THEN bag[m] ELSE 0

(* The channel after m was sent. *)
With(channel, m) ==
  IF IsOrdered THEN Append(channel, m)
  ELSE IF IsSet THEN channel \cup {m}
  ELSE [x \in DOMAIN channel \cup {m} |-> Count(channel, x) + IF x = m THEN 1 ELSE 0]

(* The messages that may come next. *)
Arriving(channel) ==
  IF IsOrdered THEN IF channel = << >> THEN {} ELSE {Head(channel)}
  ELSE IF IsSet THEN channel
  ELSE DOMAIN channel

(* The channel without one copy of m, which may come next. *)
Without(channel, m) ==
  IF IsOrdered THEN Tail(channel)
  ELSE IF IsSet THEN channel \ {m}
  ELSE IF channel[m] > 1 THEN [channel EXCEPT ![m] = @ - 1]
  ELSE [x \in DOMAIN channel \ {m} |-> channel[x]]

(* The possible channels after m has arrived. *)
Left(channel, m) ==
  IF IsSet THEN {channel}
  ELSE {Without(channel, m)} \cup IF IsDuplicating THEN {channel} ELSE {}

(* The possible channels after a message was lost. *)
Lost(channel) == IF IsLossy THEN {Without(channel, m) : m \in Arriving(channel)} ELSE {}

RECURSIVE Sum(_, _)
Sum(bag, domain) ==
  IF domain = {} THEN 0
  ELSE LET m == CHOOSE x \in domain : TRUE IN bag[m] + Sum(bag, domain \ {m})

(* The number of messages in the channel. *)
Size(channel) ==
  IF IsOrdered THEN Len(channel)
  ELSE IF IsSet THEN Sum([m \in channel |-> 1], channel)
  ELSE Sum(channel, DOMAIN channel)
=============================================================================
