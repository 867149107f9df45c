----------------------------- MODULE Coherence -----------------------------
(***************************************************************************)
(* The contents of one artifact that readers and writers may see, for      *)
(* every protocol that caches it.                                          *)
(*                                                                         *)
(* The module has neither messages nor a protocol: only a log of committed *)
(* contents, the copy of each agent, and the holder of the live grant.     *)
(* Every promise about values is in a guard:                               *)
(*                                                                         *)
(*   SWMR               Publish: while a grant lives, only its holder      *)
(*   single order       log only grows, one content at a time              *)
(*   DataValue          Take, Once: a version comes with its own content   *)
(*   bounded staleness  Take, Once: not older than when it was asked for   *)
(*   monotone reads     Take, Once: not older than any version seen        *)
(*   strict visibility  Take, Learn: no copy older than a returned commit  *)
(***************************************************************************)
EXTENDS Naturals, Sequences

CONSTANTS Agents, Strict, NoOne, Anyone

VARIABLES
  log,      \* committed contents; a content begins with its writer, or with Anyone
  copy,     \* Agents -> << >>, or the <<version, content>> that it serves
  holder,   \* the agent whose grant lives, or NoOne
  asked,    \* Agents -> the current version when it last asked
  seen,     \* Agents -> the newest version that it held or was served
  done      \* the newest version whose commit has returned

avars == <<log, copy, holder, asked, seen, done>>

Newest == Len(log)
Version(v) == IF v = 0 THEN <<0, << >> >> ELSE <<v, log[v]>>

AInit ==
  /\ log = << >>
  /\ copy = [c \in Agents |-> << >>]
  /\ holder = NoOne
  /\ asked = [c \in Agents |-> 0]
  /\ seen = [c \in Agents |-> 0]
  /\ done = 0

Publish(c, content) ==
  /\ content[1] \in {c, Anyone} /\ holder \in {NoOne, c}
  /\ Newest > 0 => content # log[Newest]
  /\ log' = Append(log, content)
  /\ holder' \in Agents \cup {NoOne}
  /\ UNCHANGED <<copy, asked, seen, done>>

(* Grants begin and end; at most one lives. *)
Pass ==
  /\ holder' \in Agents \cup {NoOne}
  /\ UNCHANGED <<log, copy, asked, seen, done>>

Ask(c) ==
  /\ asked' = [asked EXCEPT ![c] = Newest]
  /\ copy' \in {copy, [copy EXCEPT ![c] = << >>]}
  /\ UNCHANGED <<log, holder, seen, done>>

Recent(c) == {v \in 0..Newest : v >= asked[c] /\ v >= seen[c]}

(* A read that is answered, and whose copy is kept. *)
Take(c) ==
  \E v \in Recent(c) :
    /\ Strict => v >= done
    /\ copy' = [copy EXCEPT ![c] = Version(v)]
    /\ seen' = [seen EXCEPT ![c] = v]
    /\ UNCHANGED <<log, holder, asked, done>>

(* A read that is answered, and whose copy is not kept. *)
Once(c) ==
  \E v \in Recent(c) :
    /\ copy' = [copy EXCEPT ![c] = << >>]
    /\ seen' = [seen EXCEPT ![c] = v]
    /\ UNCHANGED <<log, holder, asked, done>>

Lose(c) ==
  /\ copy' = [copy EXCEPT ![c] = << >>]
  /\ UNCHANGED <<log, holder, asked, seen, done>>

Older(c, v) == copy[c] # << >> /\ copy[c][1] < v

(* A commit returns to its writer, which may keep the content.  If several agents write the same *)
(* content, another agent may have written it: it was current when the writer asked, or was      *)
(* committed later.                                                                              *)
Learn(c) ==
  \E v \in 1..Newest :
    /\ log[v][1] = c \/ (log[v][1] = Anyone /\ v >= asked[c])
    /\ Strict => \A d \in Agents : ~Older(d, v)
    /\ done' = IF v > done THEN v ELSE done
    /\ copy' \in {[copy EXCEPT ![c] = Version(v)], [copy EXCEPT ![c] = << >>]}
    /\ seen' = [seen EXCEPT ![c] = IF v > @ THEN v ELSE @]
    /\ UNCHANGED <<log, holder, asked>>

(* The content of a Publish is the one that is then at the end of the log. *)
ANext ==
  \/ \E c \in Agents : Len(log') = Len(log) + 1 /\ Publish(c, log'[Len(log')])
  \/ Pass
  \/ \E c \in Agents : Ask(c) \/ Take(c) \/ Once(c) \/ Lose(c) \/ Learn(c)

ASpec == AInit /\ [][ANext]_avars
=============================================================================
