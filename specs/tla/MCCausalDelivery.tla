-------------------------- MODULE MCCausalDelivery --------------------------
(***************************************************************************)
(* CausalDelivery by itself, beside a second form of the definition: the   *)
(* messages that each process was delivered, in order, and the messages    *)
(* that precede each message.                                              *)
(***************************************************************************)
EXTENDS MCCausal, Sequences

VARIABLES
  log,      \* Processes -> the messages delivered to it, in order
  before    \* every message -> the messages in its causal past

vars == <<past, pending, log, before>>

Init ==
  /\ AInit
  /\ log = [p \in Processes |-> << >>]
  /\ before = << >>

Send(p, q) ==
  /\ MaySend(p, q) /\ ASend(p, q)
  /\ before' = [m \in DOMAIN before \cup (DOMAIN pending' \ Pending) |->
                  IF m \in DOMAIN before THEN before[m] ELSE past[p]]
  /\ UNCHANGED log

Deliver(m) ==
  /\ ADeliver(Dst(m), {m})
  /\ log' = [log EXCEPT ![Dst(m)] = Append(@, m)]
  /\ UNCHANGED before

Next == \/ \E p, q \in Processes : Send(p, q)
        \/ \E m \in Names : Deliver(m)

Spec == Init /\ [][Next]_vars

FairSpec == Spec /\ \A m \in Names : WF_vars(Deliver(m))

Delivered(p) == {log[p][i] : i \in DOMAIN log[p]}

(* A message that precedes another one to the same process stands before it in the log. *)
InOrder ==
  \A p \in Processes : \A j \in DOMAIN log[p] : \A m \in before[log[p][j]] :
    Dst(m) = p => \E i \in 1..(j - 1) : log[p][i] = m

Once == \A p \in Processes : Cardinality(Delivered(p)) = Len(log[p])

NothingElse == \A p \in Processes : Delivered(p) = {m \in DOMAIN before \ Pending : Dst(m) = p}

(* For a configuration that must fail: a message is delivered at once. *)
AtOnce(m, batch) == TRUE
=============================================================================
