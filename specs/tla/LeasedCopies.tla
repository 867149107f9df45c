---------------------------- MODULE LeasedCopies ----------------------------
(***************************************************************************)
(* The idea of the protocol: one home, copies that lapse, one grant that   *)
(* is fenced.  Mesi implements this module, and this module implements     *)
(* Coherence.                                                              *)
(*                                                                         *)
(* A copy is a version that was current since its agent last asked.  A     *)
(* commit names the version that it was derived from, and home compares.   *)
(* At most one grant lives; each has its own epoch, and a commit under an  *)
(* ended grant is refused.  A strict commit returns when every older copy  *)
(* was given up or has lapsed.                                             *)
(*                                                                         *)
(* The module has no messages.  An answer in transit is a version that its *)
(* agent may take; a commit in transit is one that home may make; a lost   *)
(* message is a step that is never taken.  Not modelled: which agent gets  *)
(* the next grant, and how often a message is sent.                        *)
(***************************************************************************)
EXTENDS Naturals, Sequences

CONSTANTS
  Agents,
  Contents,    \* pairs: the writer, or Anyone, and what it wrote
  Strict,      \* whether a commit returns only when no agent serves an older version
  Leases,      \* whether home may end a grant under which its agent still drafts
  NoOne, Anyone

VARIABLES
  log,         \* home's commits; the version of a commit is its place
  grants,      \* home's grants; the epoch of a grant is its place
  live,        \* whether the last grant lives
  awaited,     \* the agents that may still serve the version before the newest
  copy,        \* Agents -> << >>, or the <<version, content>> that it serves
  under,       \* Agents -> the epoch under which it drafts, or 0
  asked,       \* Agents -> the newest version when it last asked
  seen,        \* Agents -> the newest version that it held or was served
  done         \* the newest version whose commit has returned

home == <<log, grants, live, awaited>>
vars == <<home, copy, under, asked, seen, done>>

Newest == Len(log)
Epoch == Len(grants)
Epochs(c) == {e \in 1..Epoch : grants[e].to = c}
Holder == IF live THEN grants[Epoch].to ELSE NoOne
Version(v) == IF v = 0 THEN <<0, << >> >> ELSE <<v, log[v].content>>
Serving == {c \in Agents : copy[c] # << >>}

Init ==
  /\ log = << >> /\ grants = << >> /\ live = FALSE /\ awaited = {}
  /\ copy = [c \in Agents |-> << >>] /\ under = [c \in Agents |-> 0]
  /\ asked = [c \in Agents |-> 0] /\ seen = [c \in Agents |-> 0] /\ done = 0

-----------------------------------------------------------------------------
(* An agent and its copy. *)

Becomes(c, value, epoch) ==
  /\ copy' = [copy EXCEPT ![c] = value]
  /\ under' = [under EXCEPT ![c] = epoch]

(* The copy is invalidated or lapses, or its agent crashes. *)
Lose(c) == Becomes(c, << >>, 0) /\ UNCHANGED <<home, asked, seen, done>>

GiveBack(c) == Becomes(c, copy[c], 0) /\ UNCHANGED <<home, asked, seen, done>>

(* For a version, for a grant, or to commit. *)
Ask(c) ==
  /\ asked' = [asked EXCEPT ![c] = Newest]
  /\ Becomes(c, << >>, 0) /\ UNCHANGED <<home, seen, done>>

(* v was current since c asked, and c has not seen a newer version. *)
Recent(c, v) == asked[c] <= v /\ seen[c] <= v

(* If v is not the newest version, home awaits that c gives v up. *)
Counted(c, v) == v = Newest \/ (v + 1 = Newest /\ c \in awaited)

MayKeep(c, v) == Recent(c, v) /\ (Strict => Counted(c, v))

(* c is served v, and keeps it or does not. *)
Take(c) ==
  \E v \in 0..Newest : \E value \in {Version(v), << >>} :
    /\ Recent(c, v) /\ (value # << >> => MayKeep(c, v))
    /\ Becomes(c, value, 0)
    /\ seen' = [seen EXCEPT ![c] = v] /\ UNCHANGED <<home, asked, done>>

(* c learns of its grant, and drafts from the version that came with it. *)
Draft(c) ==
  \E e \in Epochs(c) :
    /\ MayKeep(c, grants[e].base) /\ Becomes(c, Version(grants[e].base), e)
    /\ seen' = [seen EXCEPT ![c] = grants[e].base] /\ UNCHANGED <<home, asked, done>>

-----------------------------------------------------------------------------
(* Home. *)

(* The grant ends, if one lives, and the next one begins or does not. *)
Passes(newest) ==
  \/ live' = FALSE /\ UNCHANGED grants
  \/ live' = TRUE /\ \E c \in Agents : grants' = Append(grants, [to |-> c, base |-> newest])

(* c has acknowledged, or its copy has lapsed: by a clock that c started before home started the *)
(* one by which it stops waiting.                                                                *)
GaveUp(c) == copy[c] # << >> => copy[c][1] = Newest

(* Home hears from agents, or stops waiting for them. *)
Manage ==
  /\ awaited' \in SUBSET awaited /\ \A c \in awaited \ awaited' : GaveUp(c)
  /\ \/ UNCHANGED <<grants, live>>
     \/ (live => Leases \/ under[Holder] # Epoch) /\ Passes(Newest)
  /\ UNCHANGED <<log, copy, under, asked, seen, done>>

(* base is the version that a commit was derived from; under is the epoch of its grant, or 0. *)
Current(base) == base = Newest
Allowed(c, epoch) == IF epoch = 0 THEN Holder \in {NoOne, c} ELSE live /\ epoch = Epoch

Commit(c) ==
  \E content \in Contents, base \in 0..Newest, epoch \in Epochs(c) \cup {0} :
    /\ content[1] \in {c, Anyone} /\ content # Version(Newest)[2]
    /\ Current(base) /\ Allowed(c, epoch) /\ awaited = {}
    /\ log' = Append(log, [content |-> content, base |-> base, under |-> epoch])
    /\ awaited' \in IF Strict THEN {cs \in SUBSET Agents : Serving \subseteq cs} ELSE {{}}
    /\ Passes(Newest + 1) /\ UNCHANGED <<copy, under, asked, seen, done>>

(* A commit returns to its writer, or to another agent that wrote the same content. *)
Return(c) ==
  \E v \in 1..Newest : \E value \in {Version(v), << >>} :
    /\ log[v].content[1] = c \/ (log[v].content[1] = Anyone /\ asked[c] <= v)
    /\ v = Newest => awaited = {}
    /\ value # << >> => MayKeep(c, v)
    /\ Becomes(c, value, 0)
    /\ seen' = [seen EXCEPT ![c] = IF v > @ THEN v ELSE @]
    /\ done' = IF v > done THEN v ELSE done
    /\ UNCHANGED <<home, asked>>

Next ==
  \/ Manage
  \/ \E c \in Agents :
       Ask(c) \/ Take(c) \/ Draft(c) \/ GiveBack(c) \/ Lose(c) \/ Commit(c) \/ Return(c)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* Properties. *)

TypeOK ==
  /\ log \in Seq([content : Contents, base : Nat, under : Nat])
  /\ grants \in Seq([to : Agents, base : 0..Newest])
  /\ live \in BOOLEAN /\ (live => grants # << >>)
  /\ awaited \in SUBSET Agents
  /\ copy \in [Agents -> {<< >>} \cup {Version(v) : v \in 0..Newest}]
  /\ under \in [Agents -> 0..Epoch]
  /\ asked \in [Agents -> 0..Newest] /\ seen \in [Agents -> 0..Newest] /\ done \in 0..Newest

NoLostUpdate == \A v \in DOMAIN log : log[v].base = v - 1

(* While a grant lives nothing is committed, but by its holder, whose commit ends it. *)
SingleWriter == live => grants[Epoch].base = Newest
DraftIsCurrent == \A c \in Agents : live /\ under[c] = Epoch => copy[c][1] = Newest

(* Between a grant and the commit under it nothing is committed, and there is one such commit. *)
Fencing ==
  \A v \in DOMAIN log : log[v].under # 0 =>
    LET grant == grants[log[v].under] IN
    grant.base = v - 1 /\ log[v].content[1] \in {grant.to, Anyone}

(* The age of a copy is bounded, where copies lapse: its agent's clock starts when it asks. *)
BoundedStaleness == \A c \in Serving : copy[c][1] >= asked[c]

StrictVisibility ==
  Strict => \A c \in Serving : copy[c][1] >= done /\ Counted(c, copy[c][1])

Promises ==
  /\ NoLostUpdate /\ SingleWriter /\ DraftIsCurrent /\ Fencing
  /\ BoundedStaleness /\ StrictVisibility

THEOREM Spec => [](TypeOK /\ Promises)

Abstract ==
  INSTANCE Coherence WITH log <- [v \in DOMAIN log |-> log[v].content], holder <- Holder

Refines == Abstract!ASpec

THEOREM Spec => Refines
=============================================================================
