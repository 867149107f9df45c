------------------------------ MODULE TwoPhase ------------------------------
(***************************************************************************)
(* Two-phase commit, after Gray and Lamport, "Consensus on Transaction     *)
(* Commit" (2006), section 3, in our own words: the twin of                *)
(* specs/models/twophase.py.                                               *)
(*                                                                         *)
(* Messages are never taken out of msgs, which is enough for safety: a     *)
(* message that is never received is a lost message.                       *)
(***************************************************************************)
CONSTANT RM    \* the resource managers

VARIABLES
  rmState,     \* RM -> "working", "prepared", "committed" or "aborted"
  tmState,     \* "init", "committed" or "aborted"
  tmPrepared,  \* the managers that the transaction manager knows to be prepared
  msgs         \* all messages that were sent so far

vars == <<rmState, tmState, tmPrepared, msgs>>

Vote(rm) == [type |-> "Prepared", rm |-> rm]
Decision(what) == [type |-> what]

TypeOK ==
  /\ rmState \in [RM -> {"working", "prepared", "committed", "aborted"}]
  /\ tmState \in {"init", "committed", "aborted"}
  /\ tmPrepared \subseteq RM
  /\ msgs \subseteq {Vote(rm) : rm \in RM} \cup {Decision("Commit"), Decision("Abort")}

Init ==
  /\ rmState = [rm \in RM |-> "working"]
  /\ tmState = "init"
  /\ tmPrepared = {}
  /\ msgs = {}

RMGoes(rm, to) == rmState' = [rmState EXCEPT ![rm] = to]

RMPrepare(rm) ==
  /\ rmState[rm] = "working" /\ RMGoes(rm, "prepared")
  /\ msgs' = msgs \cup {Vote(rm)}
  /\ UNCHANGED <<tmState, tmPrepared>>

RMChooseToAbort(rm) ==
  /\ rmState[rm] = "working" /\ RMGoes(rm, "aborted")
  /\ UNCHANGED <<tmState, tmPrepared, msgs>>

RMRcvCommitMsg(rm) ==
  /\ Decision("Commit") \in msgs /\ RMGoes(rm, "committed")
  /\ UNCHANGED <<tmState, tmPrepared, msgs>>

RMRcvAbortMsg(rm) ==
  /\ Decision("Abort") \in msgs /\ RMGoes(rm, "aborted")
  /\ UNCHANGED <<tmState, tmPrepared, msgs>>

TMRcvPrepared(rm) ==
  /\ tmState = "init" /\ Vote(rm) \in msgs
  /\ tmPrepared' = tmPrepared \cup {rm}
  /\ UNCHANGED <<rmState, tmState, msgs>>

TMDecides(state, what) ==
  /\ tmState = "init" /\ tmState' = state
  /\ msgs' = msgs \cup {Decision(what)}
  /\ UNCHANGED <<rmState, tmPrepared>>

TMCommit == tmPrepared = RM /\ TMDecides("committed", "Commit")

TMAbort == tmState = "init" /\ TMDecides("aborted", "Abort")

Next ==
  \/ TMCommit \/ TMAbort
  \/ \E rm \in RM :
       \/ TMRcvPrepared(rm) \/ RMPrepare(rm) \/ RMChooseToAbort(rm)
       \/ RMRcvCommitMsg(rm) \/ RMRcvAbortMsg(rm)

Spec == Init /\ [][Next]_vars

Consistent == \A a, b \in RM : ~(rmState[a] = "committed" /\ rmState[b] = "aborted")
=============================================================================
