---------------------------- MODULE Transactions ----------------------------
(***************************************************************************)
(* Transactions over several artifacts, judged at their commit: the twin   *)
(* of specs/models/transactions.py, whose homes are coherence/directory.py *)
(* and whose rule for several homes is coherence/joint.py.                 *)
(*                                                                         *)
(* A read is as of one moment: whatever the transaction read before is     *)
(* still current.  A commit compares all that was read, and writes, in one *)
(* step.  A commit or its answer may be lost; it is sent again under the   *)
(* same serial, and a home that remembers the serial answers that it is    *)
(* made.  A refused transaction may be tried once more under grants, which *)
(* it asks for in the order of the names; a lease may end a grant.         *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS
  Agents,
  Order,       \* the names of the artifacts, in their order
  Times,       \* how many transactions each agent begins
  Unknown,     \* whether commits and answers may be lost
  Turns,       \* whether a refused transaction is tried again under grants
  Lease        \* whether a grant may end at any moment

VARIABLES
  version,     \* Names -> the current version
  by,          \* Names -> the transaction that made it, or << >>
  remembered,  \* Names -> Agents -> the serial of the last commit, or 0
  owner,       \* Names -> the agent that holds the grant, or ""
  epoch,       \* Names -> how many grants were given
  queue,       \* Names -> the agents that wait for the grant
  txn,         \* Agents -> the agent's transaction
  made,        \* history: the transactions that took effect
  moments      \* history: the versions that were current together

homes == <<version, by, remembered, owner, epoch, queue>>
grants == <<owner, epoch, queue>>
vars == <<homes, txn, made, moments>>

Names == {Order[i] : i \in DOMAIN Order}
Rank(n) == CHOOSE i \in DOMAIN Order : Order[i] = n
First(set) == CHOOSE n \in set : \A m \in set : Rank(n) <= Rank(m)
None == [n \in {} |-> 0]
Tid(a) == <<a, txn[a].begun>>

Idle(begun, serial, turn, told) ==
  [at |-> "idle", begun |-> begun, serial |-> serial, left |-> {}, reads |-> None,
   writes |-> {}, grants |-> None, turn |-> turn, before |-> {}, told |-> told]

Over(t, told) == Idle(t.begun, t.serial, t.turn, told)

Init ==
  /\ version = [n \in Names |-> 0] /\ by = [n \in Names |-> << >>]
  /\ remembered = [n \in Names |-> [a \in Agents |-> 0]]
  /\ owner = [n \in Names |-> ""] /\ epoch = [n \in Names |-> 0]
  /\ queue = [n \in Names |-> << >>]
  /\ txn = [a \in Agents |-> Idle(0, 0, FALSE, "")]
  /\ made = {} /\ moments = {version}

-----------------------------------------------------------------------------
(* Grants. *)

(* The grants of these artifacts end, and the first waiting agents get theirs. *)
End(names) ==
  LET next == {n \in names : queue[n] # << >>} IN
  /\ owner' = [n \in Names |->
       IF n \in next THEN Head(queue[n]) ELSE IF n \in names THEN "" ELSE owner[n]]
  /\ epoch' = [n \in Names |-> IF n \in next THEN epoch[n] + 1 ELSE epoch[n]]
  /\ queue' = [n \in Names |-> IF n \in next THEN Tail(queue[n]) ELSE queue[n]]

Holds(a, n) ==
  /\ n \in DOMAIN txn[a].grants
  /\ owner[n] = a /\ epoch[n] = txn[a].grants[n]

Held(a) == {n \in Names : Holds(a, n)}

Ask(a) ==
  LET t == txn[a]  n == First(t.left)  IN
  /\ t.at = "asks"
  /\ txn' = [txn EXCEPT ![a].at = "waits", ![a].serial = @ + 1]
  /\ IF owner[n] = ""
     THEN /\ owner' = [owner EXCEPT ![n] = a]
          /\ epoch' = [epoch EXCEPT ![n] = @ + 1]
          /\ UNCHANGED queue
     ELSE /\ queue' = [queue EXCEPT ![n] = Append(@, a)]
          /\ UNCHANGED <<owner, epoch>>
  /\ UNCHANGED <<version, by, remembered, made, moments>>

(* The lease may be over already: then the epoch is that of an ended grant. *)
Granted(a) ==
  LET t == txn[a]
      n == First(t.left)
      all == (n :> epoch[n]) @@ t.grants
      last == t.left = {n}
  IN
  /\ t.at = "waits"
  /\ \A i \in DOMAIN queue[n] : queue[n][i] # a
  /\ txn' = [txn EXCEPT ![a] = [t EXCEPT
       !.at = IF last THEN "reads" ELSE "asks",
       !.left = IF last THEN DOMAIN all ELSE t.left \ {n},
       !.serial = IF last THEN @ + 1 ELSE @,
       !.grants = all]]
  /\ UNCHANGED <<homes, made, moments>>

Expire(n) ==
  /\ Lease /\ owner[n] # "" /\ End({n})
  /\ UNCHANGED <<version, by, remembered, txn, made, moments>>

-----------------------------------------------------------------------------
(* Transactions. *)

Begin(a) ==
  /\ txn[a].at = "idle" /\ txn[a].begun < Times
  /\ \E reads \in SUBSET Names \ {{}} : \E writes \in SUBSET reads :
       txn' = [txn EXCEPT ![a] = [Idle(@.begun + 1, @.serial + 1, FALSE, "") EXCEPT
         !.at = "reads", !.left = reads, !.writes = writes,
         !.before = {m.tid : m \in made}]]
  /\ UNCHANGED <<homes, made, moments>>

Current(reads) == \A n \in DOMAIN reads : version[n] = reads[n]

(* A transaction that writes nothing takes effect at its last read. *)
Read(a) ==
  LET t == txn[a]
      n == First(t.left)
      more == [t EXCEPT !.left = @ \ {n}, !.reads = (n :> version[n]) @@ @]
  IN
  /\ t.at = "reads" /\ Current(t.reads)
  /\ txn' = [txn EXCEPT ![a] =
       IF t.left # {n} THEN more
       ELSE IF t.writes = {} /\ DOMAIN t.grants = {} THEN Over(t, "read")
       ELSE [more EXCEPT !.at = "commits"]]
  /\ UNCHANGED <<homes, made, moments>>

Refused(a) ==
  LET t == txn[a] IN
  /\ IF Turns /\ ~t.turn
     THEN /\ txn' = [txn EXCEPT ![a] = [t EXCEPT
               !.at = "asks", !.turn = TRUE, !.reads = None,
               !.left = @ \cup DOMAIN t.reads]]
          /\ UNCHANGED grants
     ELSE /\ txn' = [txn EXCEPT ![a] = Over(t, "refused")]
          /\ End(Held(a))
  /\ UNCHANGED <<version, by, remembered, made, moments>>

Moved(a) == txn[a].at = "reads" /\ ~Current(txn[a].reads) /\ Refused(a)

IsMade(a) == \E n \in txn[a].writes : remembered[n][a] = txn[a].serial

(* All that was read is current, and no other agent holds a grant of what is written. *)
Accepts(a) ==
  LET t == txn[a] IN
  /\ Current(t.reads)
  /\ \A n \in t.writes : IF n \in DOMAIN t.grants THEN Holds(a, n) ELSE owner[n] = ""

Stands(a) == IsMade(a) \/ Accepts(a)

Changes(a) ==
  LET t == txn[a]
      new == IF IsMade(a) THEN {} ELSE t.writes
      after == [n \in Names |-> IF n \in new THEN version[n] + 1 ELSE version[n]]
  IN
  /\ version' = after
  /\ by' = [n \in Names |-> IF n \in new THEN Tid(a) ELSE by[n]]
  /\ remembered' = [n \in Names |->
       IF n \in new THEN [remembered[n] EXCEPT ![a] = t.serial] ELSE remembered[n]]
  /\ End(Held(a))
  /\ IF new = {} THEN UNCHANGED <<made, moments>>
     ELSE /\ moments' = moments \cup {after}
          /\ made' = made \cup {[tid |-> Tid(a), reads |-> t.reads, writes |-> t.writes,
                                 before |-> t.before]}

Commit(a) ==
  /\ txn[a].at \in {"commits", "unknown"} /\ Stands(a) /\ Changes(a)
  /\ txn' = [txn EXCEPT ![a] = Over(@, IF @.writes = {} THEN "read" ELSE "made")]

Unheard(a) ==
  /\ Unknown /\ txn[a].at = "commits" /\ Stands(a) /\ Changes(a)
  /\ txn' = [txn EXCEPT ![a].at = "unknown"]

Lost(a) ==
  /\ Unknown /\ txn[a].at = "commits"
  /\ txn' = [txn EXCEPT ![a].at = "unknown"]
  /\ UNCHANGED <<homes, made, moments>>

Refuse(a) == txn[a].at \in {"commits", "unknown"} /\ ~Stands(a) /\ Refused(a)


Next ==
  \/ \E a \in Agents :
       \/ Begin(a) \/ Read(a) \/ Moved(a) \/ Commit(a) \/ Unheard(a) \/ Lost(a) \/ Refuse(a)
       \/ Ask(a) \/ Granted(a)
  \/ \E n \in Names : Expire(n)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* The promise. *)

IsReads(f) == DOMAIN f \subseteq Names /\ f \in [DOMAIN f -> Nat]

TypeOK ==
  /\ version \in [Names -> Nat] /\ epoch \in [Names -> Nat]
  /\ owner \in [Names -> Agents \cup {""}] /\ queue \in [Names -> Seq(Agents)]
  /\ \A a \in Agents :
       /\ txn[a].at \in {"idle", "reads", "commits", "unknown", "asks", "waits"}
       /\ IsReads(txn[a].reads) /\ IsReads(txn[a].grants)
       /\ txn[a].writes \subseteq Names
       /\ txn[a].told \in {"", "read", "made", "refused"}

(* A version follows the one that it replaces; a reader stands between what it read and the next. *)
Precedes(p, q) ==
  \/ p.tid \in q.before
  \/ \E n \in Names :
       \/ n \in p.writes /\ n \in q.writes /\ p.reads[n] < q.reads[n]
       \/ n \in p.writes /\ n \in DOMAIN q.reads /\ p.reads[n] + 1 = q.reads[n]
       \/ n \in DOMAIN p.reads /\ n \in q.writes /\ p.reads[n] = q.reads[n]

StrictlySerializable ==
  \A some \in SUBSET made :
    some # {} => \E first \in some : \A m \in some \ {first} : ~Precedes(m, first)

Opaque ==
  \A a \in Agents : \E moment \in moments :
    \A n \in DOMAIN txn[a].reads : moment[n] = txn[a].reads[n]

ToldTruth ==
  \A a \in Agents : txn[a].told \in {"made", "refused"} =>
    ((txn[a].told = "made") <=> \E m \in made : m.tid = Tid(a))

(* No other agent can commit what a transaction in turn read. *)
CertainInTurn == Lease \/ \A a \in Agents : ~(txn[a].turn /\ txn[a].told = "refused")
=============================================================================
