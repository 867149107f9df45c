----------------------------- MODULE Coherence -----------------------------
(***************************************************************************)
(* What readers and writers of one artifact may see, whoever caches it.    *)
(*                                                                         *)
(* There are no messages here and no protocol: a log of committed          *)
(* contents, what each agent holds, and whose grant lives.  Every promise  *)
(* that has to do with values is in the guards:                            *)
(*                                                                         *)
(*   SWMR               Publish: while a grant lives, only its holder      *)
(*   single order       log only grows, one content at a time              *)
(*   DataValue          Take, Once: a version comes with its own content   *)
(*   bounded staleness  Take, Once: not older than when it was asked for   *)
(*   monotone reads     Take, Once: not older than what was seen           *)
(*   strict visibility  Take, Learn: no copy is older than what returned   *)
(***************************************************************************)
EXTENDS Naturals, Sequences

CONSTANTS Agents, Strict, NoOne, Anyone

VARIABLES
  log,      \* committed contents; a content begins with its writer, or with Anyone
  copy,     \* Agents -> << >>, or <<version, content>> that it serves
  holder,   \* whose grant lives, or NoOne
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

(* Grants come and go; at most one lives. *)
Pass ==
  /\ holder' \in Agents \cup {NoOne}
  /\ UNCHANGED <<log, copy, asked, seen, done>>

Ask(c) ==
  /\ asked' = [asked EXCEPT ![c] = Newest]
  /\ copy' \in {copy, [copy EXCEPT ![c] = << >>]}
  /\ UNCHANGED <<log, holder, seen, done>>

Recent(c) == {v \in 0..Newest : v >= asked[c] /\ v >= seen[c]}

(* A copy that is kept. *)
Take(c) ==
  \E v \in Recent(c) :
    /\ Strict => v >= done
    /\ copy' = [copy EXCEPT ![c] = Version(v)]
    /\ seen' = [seen EXCEPT ![c] = v]
    /\ UNCHANGED <<log, holder, asked, done>>

(* A read that is answered, and nothing kept. *)
Once(c) ==
  \E v \in Recent(c) :
    /\ copy' = [copy EXCEPT ![c] = << >>]
    /\ seen' = [seen EXCEPT ![c] = v]
    /\ UNCHANGED <<log, holder, asked, done>>

Lose(c) ==
  /\ copy' = [copy EXCEPT ![c] = << >>]
  /\ UNCHANGED <<log, holder, asked, seen, done>>

Older(c, v) == copy[c] # << >> /\ copy[c][1] < v

(* A commit returns to its writer, who may keep what it wrote.  Of what anyone may write, another *)
(* may have written it: then it was there when the writer asked, or came to be since.             *)
Learn(c) ==
  \E v \in 1..Newest :
    /\ log[v][1] = c \/ (log[v][1] = Anyone /\ v >= asked[c])
    /\ Strict => \A d \in Agents : ~Older(d, v)
    /\ done' = IF v > done THEN v ELSE done
    /\ copy' \in {[copy EXCEPT ![c] = Version(v)], [copy EXCEPT ![c] = << >>]}
    /\ seen' = [seen EXCEPT ![c] = IF v > @ THEN v ELSE @]
    /\ UNCHANGED <<log, holder, asked>>

(* The content of a Publish is whatever came to be at the end of the log. *)
ANext ==
  \/ \E c \in Agents : Len(log') = Len(log) + 1 /\ Publish(c, log'[Len(log')])
  \/ Pass
  \/ \E c \in Agents : Ask(c) \/ Take(c) \/ Once(c) \/ Lose(c) \/ Learn(c)

ASpec == AInit /\ [][ANext]_avars
=============================================================================
