----------------------------- MODULE TraceMesi -----------------------------
(***************************************************************************)
(* A recorded run, compared with Mesi: each of its lines must be a step    *)
(* that Mesi can take on the recorded event, under the recorded name, with *)
(* the recorded messages, timers and answer.                               *)
(*                                                                         *)
(* specs/traces.py writes the module Recorded, which defines Trace, and a  *)
(* configuration, which replaces May, Written, GivenBack, Offered and Due  *)
(* of Mesi by the operators below: applications, network and time then do  *)
(* only what the current line says.  Crashes and losses have no line: they *)
(* happen where the next line needs them.                                  *)
(*                                                                         *)
(* Checked in Python and not here: the digests of states, and times.  On a *)
(* network that repeats messages, sending one again changes no state.      *)
(***************************************************************************)
EXTENDS Mesi, Recorded, TLC

CONSTANT
  Early          \* timers of caches that a driver may fire at any time

VARIABLE
  step           \* the number of lines followed so far

Line == Trace[step + 1]
P == Line.process
Event == Line.event

Receives == Event.type = "Receive"
Requests(kind) == Event.type = "Invoke" /\ Event.request.type = kind
Expires == Event.type = "Timeout"

-----------------------------------------------------------------------------
(* Operators that replace those of Mesi. *)

TraceMay(c, kind) == up[c] /\ ~waiting[c] /\ P = c /\ Requests(kind)

TraceWritten(c, kind) == {Event.request}

TraceGivenBack(c) ==
  IF up[c] /\ ~waiting[c] /\ Requests("Abandon") THEN {Event.request.epoch} ELSE {}

TraceOffered(src, dst) ==
  IF Receives /\ P = dst /\ Event.src = src /\ up[dst]
  THEN {Event.message} \cap Arriving(net[<<src, dst>>])
  ELSE {}

TraceDue(p, timer) ==
  Expires /\ P = p /\ Event.name = timer /\ timer \in timers[p] \cup Early

(* Where a copy may lapse at any time, home need not wait for a step that was not recorded. *)
NeverFirst(c) == FALSE

-----------------------------------------------------------------------------
(* The beginning of a recording, and an agent that joins again. *)

Begin ==
  /\ step = 0
  /\ home' = Event.request.home
  /\ timers' = [timers EXCEPT ![Home] = Line.armed]
  /\ HomeOnly /\ UNCHANGED net

Join(c) ==
  /\ Becomes(c, [EmptyCache EXCEPT !.serial = Event.request.serial])
  /\ waiting' = [waiting EXCEPT ![c] = FALSE]
  /\ CacheOnly /\ UNCHANGED <<net, timers, invoked>>

(* The action of a cache with that name. *)
OfCache(c, name) ==
  CASE name = "LoadMiss" -> LoadMiss(c)
    [] name = "LoadHit" -> LoadHit(c)
    [] name = "LoadRefresh" -> LoadRefresh(c)
    [] name = "AcquireMiss" -> AcquireMiss(c)
    [] name = "AcquireUpgrade" -> AcquireUpgrade(c)
    [] name = "AcquireRenew" -> AcquireRenew(c)
    [] name = "CommitBare" -> CommitBare(c)
    [] name = "CommitLive" -> CommitLive(c)
    [] name = "Abandon" -> Abandon(c)
    [] name = "AbandonDraft" -> AbandonDraft(c)
    [] name = "AbandonOther" -> AbandonOther(c)
    [] name = "Replace" -> Replace(c)
    [] name = "CacheLeave" -> CacheLeave(c)
    [] name = "Lapse" -> Lapse(c)
    [] name = "Retry" -> ReAsk(c)
    [] name = "GiveUp" -> GiveUp(c)
    [] name = "CacheRestart" -> CacheRestart(c)
    [] name = "DataS" -> DataS(c)
    [] name = "DataE" -> DataE(c)
    [] name = "DataOnce" -> DataOnce(c)
    [] name = "DataM" -> DataM(c)
    [] name = "DataMBehind" -> DataMBehind(c)
    [] name = "DataMDead" -> DataMDead(c)
    [] name = "PutAckS" -> PutAckS(c)
    [] name = "PutAckE" -> PutAckE(c)
    [] name = "PutAckDead" -> PutAckDead(c)
    [] name = "Nacked" -> Nacked(c)
    [] name = "Return" -> Return(c)
    [] name = "InvStable" -> InvStable(c)
    [] name = "InvBare" -> InvBare(c)
    [] name = "InvUnder" -> InvUnder(c)
    [] name = "UpdateLive" -> UpdateLive(c)
    [] name = "UpdateBare" -> UpdateBare(c)
    [] name = "UpdateUnder" -> UpdateUnder(c)
    [] name = "Downgrade" -> Downgrade(c)
    [] name = "AskedToFinish" -> AskedToFinish(c)
    [] name = "Late" -> CacheLate(c)
    [] name = "Join" -> Join(c)
    [] OTHER -> FALSE

(* The action of home with that name, on a message from c. *)
OnMessage(c, name) ==
  CASE name = "GetSSole" -> GetSSole(c)
    [] name = "GetS" -> GetS(c)
    [] name = "GetSOfE" -> GetSOfE(c)
    [] name = "GetSBeside" -> GetSBeside(c)
    [] name = "GetM" -> GetM(c)
    [] name = "GetMWaits" -> GetMWaits(c)
    [] name = "GetMAgain" -> GetMAgain(c)
    [] name = "GetMRenews" -> GetMRenews(c)
    [] name = "PutEOwner" -> PutEOwner(c)
    [] name = "PutEQueued" -> PutEQueued(c)
    [] name = "PutS" -> PutS(c)
    [] name = "Leave" -> Leave(c)
    [] name = "LeaveOwner" -> LeaveOwner(c)
    [] name = "PutM" -> PutM(c)
    [] name = "PutMOwner" -> PutMOwner(c)
    [] name = "PutMSame" -> PutMSame(c)
    [] name = "PutMBusy" -> PutMBusy(c)
    [] name = "PutMStale" -> PutMStale(c)
    [] name = "PutMFenced" -> PutMFenced(c)
    [] name = "PutMAgain" -> PutMAgain(c)
    [] name = "PutMAwaits" -> PutMAwaits(c)
    [] name = "InvAck" -> InvAck(c)
    [] name = "Late" -> HomeLate(c)
    [] OTHER -> FALSE

OfHome(name) ==
  CASE Receives -> OnMessage(Event.src, name)
    [] name = "Begin" -> Begin
    [] name = "GrantExpires" -> GrantExpires
    [] name = "AcksExpire" -> AcksExpire
    [] name = "HomeRestart" -> HomeRestart
    [] OTHER -> FALSE

-----------------------------------------------------------------------------
(* The claims of the line about the step, after it was taken. *)

Messages ==
  /\ \A i \in DOMAIN Line.sent : <<P, Line.sent[i][1]>> \in Pairs
  /\ IF Receives THEN Takes(P, Event.src, Event.message, Line.sent) ELSE Sends(P, Line.sent)

Timers ==
  LET fired == IF Expires THEN {Event.name} ELSE {}
  IN timers'[P] = ((timers[P] \ fired) \ Line.disarmed) \cup Line.armed

(* The answer that an application gets, by action. *)
Response ==
  LET new == cache'[P] IN
  CASE Line.action \in {"LoadHit", "DataS", "DataE", "DataOnce"} ->
         [type |-> "Loaded", version |-> new.version, content |-> new.content]
    [] Line.action \in {"DataM", "DataMBehind"} ->
         [type |-> "Granted", version |-> new.version, content |-> new.content,
          epoch |-> new.epoch]
    [] Line.action \in {"PutAckS", "PutAckE", "PutAckDead"} ->
         [type |-> "Committed", version |-> new.version]
    [] Line.action = "Nacked" ->
         [type |-> "Refused", reason |-> Event.message.reason, version |-> Event.message.version]
    [] Line.action = "GiveUp" ->
         [type |-> "Refused", reason |-> "deadline", version |-> new.version]
    [] Line.action \in {"Abandon", "AbandonDraft", "AbandonOther", "Replace", "CacheLeave"} ->
         [type |-> "Done"]
    [] OTHER -> None

Follows ==
  /\ IF P = Home THEN OfHome(Line.action) ELSE OfCache(P, Line.action)
  /\ Messages /\ Timers
  /\ Line.answer = IF P = Home THEN None ELSE Response
  /\ Line.told <=> Line.action = "AskedToFinish"
  /\ step' = step + 1
  /\ PrintT(<<"followed", step'>>)

(* Events that have no line. *)
Crashed == Event.type = "Restart" /\ Crash(P) /\ UNCHANGED step

Loses ==
  /\ Receives /\ IsOrdered
  /\ Event.message \notin Arriving(net[<<Event.src, P>>])
  /\ Drop(Event.src, P)
  /\ UNCHANGED step

TraceInit == Init /\ step = 0
TraceNext ==
  /\ step < Len(Trace)
  /\ P \in Processes /\ (Receives => <<Event.src, P>> \in Pairs)
  /\ Follows \/ Crashed \/ Loses
TraceSpec == TraceInit /\ [][TraceNext]_<<vars, step>>
=============================================================================
