------------------------------- MODULE MCraft -------------------------------
(***************************************************************************)
(* The module raft of ongardie/raft.tla, which has no configuration, with  *)
(* bounds and three claims.  The view leaves out its history variables,    *)
(* which no action reads.                                                  *)
(***************************************************************************)
EXTENDS raft

CONSTANTS MaxTerm, MaxEntries, MaxMessages

Core == <<messages, currentTerm, state, votedFor, log, commitIndex,
          votesResponded, votesGranted, nextIndex, matchIndex>>

Bounded ==
  /\ \A i \in Server : currentTerm[i] <= MaxTerm /\ Len(log[i]) <= MaxEntries
  /\ Cardinality(DOMAIN messages) <= MaxMessages
  /\ \A m \in DOMAIN messages : messages[m] = 1

OneLeader ==
  \A i, j \in Server :
    state[i] = Leader /\ state[j] = Leader /\ currentTerm[i] = currentTerm[j] => i = j

CommittedAgree ==
  \A i, j \in Server : \A k \in 1..Min({commitIndex[i], commitIndex[j]}) : log[i][k] = log[j][k]
=============================================================================
