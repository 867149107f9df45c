-------------------------------- MODULE Mesi --------------------------------
(***************************************************************************)
(* The protocol of one artifact: a home, its caches, their applications.   *)
(*                                                                         *)
(* The module is written by hand beside the tables of coherence/cache.py   *)
(* and coherence/directory.py, and never generated from them: each action  *)
(* below stands for the rows with that action name.  The variables mirror  *)
(* CacheState and HomeState field by field, so that the two state graphs   *)
(* can be compared edge by edge.                                           *)
(*                                                                         *)
(* Abstractions.  Time: an armed timer may be due at any moment, except    *)
(* that a cache gives up its copy before home stops waiting for it.        *)
(* Content: a pair that names its write, or a content that several agents  *)
(* may write; a content is its own digest.                                 *)
(*                                                                         *)
(* Not modelled: the periodic push of the Broadcast policy (rows push),    *)
(* and verdicts that are forgotten beyond the policy's `memory`.           *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
  Agents,        \* the caches' addresses: strings
  Guarantee,     \* the guarantee of the network, see module Network
  Strict,        \* whether a commit returns only when no cache serves an older version
  Announce,      \* "Inv", "Update" or "pointer"
  Validity,      \* whether copies lapse
  GrantLease,    \* whether grants lapse
  Retry,         \* whether requests are repeated
  DeltaWindow,   \* the most versions that a delta may span
  MaxAccesses,   \* reads served from one copy; 0: unlimited
  Asks,          \* kinds of request that applications make
  Times,         \* how many requests each application makes
  Crashes,       \* the number of crashes of processes in Crashable, in all
  Crashable,
  Farewells,     \* whether another agent may send the Leave of a cache that is down
  Alarms,        \* how often one does so by mistake, for a cache that is up
  Restores,      \* whether home may be saved once, and restored once
  InFlight       \* messages that a channel holds; 0: unlimited

VARIABLES
  cache,         \* Agents -> the fields of CacheState
  home,          \* the fields of HomeState
  net,           \* pairs of addresses -> channels
  timers,        \* processes -> their armed timers
  up,            \* processes -> whether they run
  invoked,       \* Agents -> the number of requests so far
  waiting,       \* Agents -> whether the application awaits an answer
  crashes,       \* crashes that may still happen
  alarms,        \* false alarms that may still happen
  backup         \* the saved state of home

vars == <<cache, home, net, timers, up, invoked, waiting, crashes, alarms, backup>>

Home == "home"
NoOne == ""
Processes == Agents \cup {Home}
Pairs == ({Home} \X Agents) \cup (Agents \X {Home})

INSTANCE Network

NoContent == << >>

(* A content that begins with it does not name its writer. *)
Anyone == "="
None == [type |-> "None"]

-----------------------------------------------------------------------------
(* Messages, by the names of coherence/messages.py. *)

GetSOf(serial, have, digest) ==
  [type |-> "GetS", serial |-> serial, have |-> have, digest |-> digest]
GetMOf(serial, have, digest) ==
  [type |-> "GetM", serial |-> serial, have |-> have, digest |-> digest]
PutMOf(serial, base, epoch, content, digest) ==
  [type |-> "PutM", serial |-> serial, base |-> base, epoch |-> epoch, content |-> content,
   digest |-> digest]
PutEOf(serial, epoch) == [type |-> "PutE", serial |-> serial, epoch |-> epoch]
PutSOf(serial) == [type |-> "PutS", serial |-> serial]
LeaveOf(serial) == [type |-> "Leave", serial |-> serial]
InvAckOf(version) == [type |-> "InvAck", version |-> version]
DataOf(serial, version, grant, epoch, base, content) ==
  [type |-> "Data", serial |-> serial, version |-> version, grant |-> grant, epoch |-> epoch,
   base |-> base, content |-> content]
InvOf(stale, ack) == [type |-> "Inv", stale |-> stale, ack |-> ack]
UpdateOf(version, base, content) ==
  [type |-> "Update", version |-> version, base |-> base, content |-> content]
FwdGetSOf == [type |-> "FwdGetS"]
FwdGetMOf == [type |-> "FwdGetM"]
PutAckOf(serial, version, grant) ==
  [type |-> "PutAck", serial |-> serial, version |-> version, grant |-> grant]
NackOf(serial, reason, version) ==
  [type |-> "Nack", serial |-> serial, reason |-> reason, version |-> version]

-----------------------------------------------------------------------------
(* Groups of states, as in the tables. *)

Stable == {"I", "S", "E", "M"}
Live == {"S", "E", "M"}
Reading == {"IS_D", "IS_D_I"}
Asking == {"IM_D", "IM_D_I", "SM_D"}
Writing == {"IS_A", "IS_A_I", "MS_A"}
Bare == Reading \cup {"IM_D", "IM_D_I", "IS_A", "IS_A_I"}
Covered == {"SM_D", "MS_A"}
Free == {"I", "S", "E"}
Busy == {"M", "S_A"}
Held == {"S", "E", "M", "S_A"}

EmptyCache ==
  [at |-> "I", version |-> 0, content |-> NoContent, dead_through |-> -1, serial |-> 0, epoch |-> 0,
   uses |-> 0, asked |-> None, again |-> FALSE]

EmptyHome ==
  [at |-> "I", version |-> 0, content |-> NoContent, sharers |-> << >>, owner |-> NoOne,
   owner_serial |-> 0, epoch |-> 0, queue |-> << >>, unacked |-> << >>, writer |-> NoOne,
   writer_serial |-> 0, verdicts |-> << >>]

Init ==
  /\ cache = [c \in Agents |-> EmptyCache]
  /\ home = EmptyHome
  /\ net = [p \in Pairs |-> Nothing]
  /\ timers = [p \in Processes |-> {}]
  /\ up = [p \in Processes |-> TRUE]
  /\ invoked = [c \in Agents |-> 0]
  /\ waiting = [c \in Agents |-> FALSE]
  /\ crashes = Crashes
  /\ alarms = Alarms
  /\ backup = None

-----------------------------------------------------------------------------
(* Parts of steps. *)

Max(a, b) == IF a > b THEN a ELSE b
Only(condition, set) == IF condition THEN set ELSE {}

(* out is a sequence of <<destination, message>>. *)
RECURSIVE Sent(_, _, _)
Sent(channels, src, out) ==
  IF out = << >> THEN channels
  ELSE Sent([channels EXCEPT ![<<src, Head(out)[1]>>] = With(@, Head(out)[2])], src, Tail(out))

Fits == InFlight > 0 => \A p \in Pairs : Size(net'[p]) <= InFlight

Sends(src, out) == net' = Sent(net, src, out) /\ Fits

(* p receives m, which src sent, and sends the messages in out. *)
Takes(p, src, m, out) ==
  /\ \E left \in Left(net[<<src, p>>], m) :
       net' = Sent([net EXCEPT ![<<src, p>>] = left], p, out)
  /\ Fits

Timed(p, cleared, armed) == timers' = [timers EXCEPT ![p] = (@ \ cleared) \cup armed]

(* The messages from src that dst may receive next. *)
Offered(src, dst) == Only(up[dst], Arriving(net[<<src, dst>>]))

(* Whether this timer of p may be due now. *)
Due(p, timer) == timer \in timers[p]

ToHome(m) == << <<Home, m>> >>

Becomes(c, new) == cache' = [cache EXCEPT ![c] = new]

CacheOnly == UNCHANGED <<home, up, crashes, alarms, backup>>
HomeOnly == UNCHANGED <<cache, up, invoked, waiting, crashes, alarms, backup>>

-----------------------------------------------------------------------------
(* Cache: the application asks. *)

May(c, kind) ==
  up[c] /\ ~waiting[c] /\ invoked[c] < Times /\ kind \in Asks

(* c keeps its request until it is answered. *)
Asked(c, at, m) == [cache[c] EXCEPT !.at = at, !.serial = m.serial, !.asked = m]
AskTimers == Only(Retry, {"retry"}) \cup Only(Validity, {"validity"})
AnsweredTimers == Only(Retry, {"retry"})
LapseTimers == Only(Validity, {"validity"})

Invokes(c, awaits) ==
  /\ invoked' = [invoked EXCEPT ![c] = @ + 1]
  /\ waiting' = [waiting EXCEPT ![c] = awaits]
  /\ CacheOnly

AsksHome(c, at, m, armed) ==
  /\ Becomes(c, Asked(c, at, m))
  /\ Sends(c, ToHome(m))
  /\ Timed(c, {}, AskTimers \cup armed)
  /\ Invokes(c, TRUE)

Serial(c) == cache[c].serial + 1
UsedUp(c) == MaxAccesses > 0 /\ cache[c].uses >= MaxAccesses

LoadMiss(c) ==
  /\ May(c, "Load") /\ cache[c].at = "I"
  /\ AsksHome(c, "IS_D", GetSOf(Serial(c), cache[c].version, cache[c].content), {})

LoadHit(c) ==
  /\ May(c, "Load") /\ cache[c].at \in Live
  /\ UsedUp(c) => cache[c].at = "M"
  /\ Becomes(c, [cache[c] EXCEPT !.uses = @ + IF MaxAccesses > 0 /\ ~UsedUp(c) THEN 1 ELSE 0])
  /\ Invokes(c, FALSE)
  /\ UNCHANGED <<net, timers>>

LoadRefresh(c) ==
  /\ May(c, "Load") /\ cache[c].at \in {"S", "E"} /\ UsedUp(c)
  /\ AsksHome(c, "IS_D", GetSOf(Serial(c), cache[c].version, cache[c].content), {})

(* With or without a deadline for the wait. *)
Acquires(c, at) ==
  \E kind \in {"Acquire", "Acquire/wait"} :
    /\ May(c, kind)
    /\ AsksHome(c, at, GetMOf(Serial(c), cache[c].version, cache[c].content),
                Only(kind = "Acquire/wait", {"deadline"}))

AcquireMiss(c) == cache[c].at = "I" /\ Acquires(c, "IM_D")
AcquireUpgrade(c) == cache[c].at \in {"S", "E"} /\ Acquires(c, "SM_D")
AcquireRenew(c) == cache[c].at = "M" /\ Acquires(c, "SM_D")

(* The commits that an application may make: derived from the version that its cache served last, *)
(* optimistic or under the last grant.                                                            *)
Written(c, kind) ==
  {[base |-> cache[c].version, epoch |-> epoch,
    content |-> IF kind = "Commit" THEN <<c, Serial(c)>> ELSE <<Anyone, 0>>,
    digest |-> cache[c].content] : epoch \in {0, cache[c].epoch}}

Publishes(c, at) ==
  \E kind \in {"Commit", "Commit/equal"} :
    /\ May(c, kind)
    /\ \E new \in Written(c, kind) :
         AsksHome(c, at, PutMOf(Serial(c), new.base, new.epoch, new.content, new.digest), {})

CommitBare(c) == cache[c].at = "I" /\ Publishes(c, "IS_A")
CommitLive(c) == cache[c].at \in Live /\ Publishes(c, "MS_A")

(* The grants that an application may give back: its last one, or one that ended before.  An *)
(* application that may make no more requests still gives back its last grant.               *)
GivenBack(c) ==
  Only(up[c] /\ ~waiting[c] /\ cache[c].epoch # 0 /\ ("Abandon" \notin Asks => invoked[c] >= Times),
       {cache[c].epoch})
  \cup Only(May(c, "Abandon/other") /\ cache[c].epoch > 1, {cache[c].epoch - 1})

GivesBack(c, epoch, at) ==
  /\ Becomes(c, [cache[c] EXCEPT !.at = at, !.epoch = IF @ = epoch THEN 0 ELSE @])
  /\ Sends(c, ToHome(PutEOf(cache[c].serial, epoch)))
  /\ Invokes(c, FALSE)
  /\ UNCHANGED timers

Abandon(c) ==
  cache[c].at \in {"I", "S", "E"} /\ \E epoch \in GivenBack(c) : GivesBack(c, epoch, cache[c].at)

AbandonDraft(c) ==
  /\ cache[c].at = "M" /\ cache[c].epoch \in GivenBack(c)
  /\ GivesBack(c, cache[c].epoch, "S")

(* Home ended that grant before it gave the one that lives here. *)
AbandonOther(c) ==
  /\ cache[c].at = "M" /\ GivenBack(c) \ {cache[c].epoch} # {}
  /\ Invokes(c, FALSE)
  /\ UNCHANGED <<cache, net, timers>>

Emptied(c, serial) ==
  [cache[c] EXCEPT !.at = "I", !.version = 0, !.content = NoContent, !.uses = 0, !.serial = serial]

Replace(c) ==
  /\ May(c, "Replacement")
  /\ \/ /\ cache[c].at = "I"
        /\ Becomes(c, Emptied(c, cache[c].serial))
        /\ UNCHANGED <<net, timers>>
     \/ /\ cache[c].at = "S"
        /\ Becomes(c, Emptied(c, Serial(c)))
        /\ Sends(c, ToHome(PutSOf(Serial(c))))
        /\ Timed(c, LapseTimers, {})
     \/ /\ cache[c].at = "E"
        /\ Becomes(c, Emptied(c, Serial(c)))
        /\ Sends(c, ToHome(PutEOf(Serial(c), 0)))
        /\ Timed(c, LapseTimers, {})
     \/ /\ cache[c].at = "M"
        /\ Becomes(c, [Emptied(c, Serial(c)) EXCEPT !.epoch = 0])
        /\ Sends(c, ToHome(PutEOf(cache[c].serial, cache[c].epoch)) \o ToHome(PutSOf(Serial(c))))
        /\ Timed(c, LapseTimers, {})
  /\ Invokes(c, FALSE)

CacheLeave(c) ==
  /\ May(c, "Leave") /\ cache[c].at \in Stable
  /\ Becomes(c, [Emptied(c, Serial(c)) EXCEPT !.epoch = 0])
  /\ Sends(c, ToHome(LeaveOf(Serial(c))))
  /\ Timed(c, LapseTimers, {})
  /\ Invokes(c, FALSE)

-----------------------------------------------------------------------------
(* Cache: timers, and its crash. *)

LapsesTo(at) ==
  IF at \in Stable THEN "I"
  ELSE IF at \in Reading THEN "IS_D_I"
  ELSE IF at \in Asking THEN "IM_D_I"
  ELSE "IS_A_I"

Lapse(c) ==
  /\ Due(c, "validity")
  /\ Becomes(c, [cache[c] EXCEPT !.at = LapsesTo(@)])
  /\ Timed(c, {"validity"}, {})
  /\ CacheOnly /\ UNCHANGED <<net, invoked, waiting>>

ReAsk(c) ==
  /\ Due(c, "retry") /\ cache[c].at \notin Stable
  /\ Sends(c, ToHome(cache[c].asked))
  /\ CacheOnly /\ UNCHANGED <<cache, timers, invoked, waiting>>

GiveUp(c) ==
  /\ Due(c, "deadline") /\ cache[c].at \in Asking
  /\ Becomes(c, [cache[c] EXCEPT !.at = "I", !.asked = None, !.again = FALSE])
  /\ Sends(c, ToHome(PutEOf(cache[c].serial, 0)))
  /\ Timed(c, {"deadline"} \cup AnsweredTimers \cup LapseTimers, {})
  /\ waiting' = [waiting EXCEPT ![c] = FALSE]
  /\ CacheOnly /\ UNCHANGED invoked

(* A cache keeps only its serial; home loses only its timers. *)
Crash(p) ==
  /\ crashes > 0 /\ p \in Crashable /\ up[p]
  /\ crashes' = crashes - 1
  /\ up' = [up EXCEPT ![p] = FALSE]
  /\ timers' = [timers EXCEPT ![p] = {}]
  /\ IF p = Home THEN UNCHANGED <<cache, waiting>>
     ELSE /\ Becomes(p, [EmptyCache EXCEPT !.serial = cache[p].serial])
          /\ waiting' = [waiting EXCEPT ![p] = FALSE]
  /\ UNCHANGED <<home, net, invoked, alarms, backup>>

CacheRestart(c) ==
  /\ ~up[c]
  /\ up' = [up EXCEPT ![c] = TRUE]
  /\ Becomes(c, [cache[c] EXCEPT !.serial = @ + 1])
  /\ Sends(c, ToHome(LeaveOf(Serial(c))))
  /\ UNCHANGED <<home, timers, invoked, waiting, crashes, alarms, backup>>

-----------------------------------------------------------------------------
(* Cache: messages. *)

FromHome(c, type) == {m \in Offered(Home, c) : m.type = type}

(* c takes the state new and sends the messages in out; its timers in cleared are disarmed. *)
Hears(c, m, new, out, cleared) ==
  /\ Becomes(c, new)
  /\ Takes(c, Home, m, out)
  /\ Timed(c, cleared, {})
  /\ CacheOnly /\ UNCHANGED invoked

(* The application is answered. *)
Answers(c) == waiting' = [waiting EXCEPT ![c] = FALSE]
Silent == UNCHANGED waiting

(* m answers the request under way. *)
Meant(c, m) == cache[c].asked # None /\ cache[c].asked.serial = m.serial
Dead(c, m) == m.version <= cache[c].dead_through

Taken(old, m) ==
  [old EXCEPT !.version = m.version, !.uses = 0,
              !.content = IF m.base # m.version \/ m.version = 0 THEN m.content ELSE @]

Read(c, at, m) == [Taken(cache[c], m) EXCEPT !.at = at, !.asked = None, !.again = FALSE]

ReadAs(c, grant) ==
  \E m \in FromHome(c, "Data") :
    /\ Meant(c, m) /\ ~Dead(c, m) /\ m.grant = grant
    /\ Hears(c, m, Read(c, grant, m), << >>, AnsweredTimers)
    /\ Answers(c)

DataS(c) == cache[c].at = "IS_D" /\ ReadAs(c, "S")
DataE(c) == cache[c].at = "IS_D" /\ ReadAs(c, "E")

(* The version is already dead, or its request is too old: it is served once and not kept. *)
DataOnce(c) ==
  \E m \in FromHome(c, "Data") :
    /\ Meant(c, m) /\ m.grant # "M"
    /\ \/ cache[c].at = "IS_D" /\ Dead(c, m)
       \/ cache[c].at = "IS_D_I"
    /\ Hears(c, m, Read(c, "I", m), << >>,
             AnsweredTimers \cup Only(cache[c].at = "IS_D", LapseTimers))
    /\ Answers(c)

Granted(c, m, dead) ==
  /\ Hears(c, m, [Read(c, IF cache[c].at = "IM_D_I" THEN "I" ELSE "M", m)
                    EXCEPT !.epoch = m.epoch, !.dead_through = dead],
           << >>, AnsweredTimers \cup {"deadline"})
  /\ Answers(c)

DataM(c) ==
  \E m \in FromHome(c, "Data") :
    /\ Meant(c, m) /\ ~Dead(c, m) /\ m.grant = "M" /\ cache[c].at \in Asking
    /\ Granted(c, m, cache[c].dead_through)

(* The grant was requested after the version was killed: home has gone back. *)
DataMBehind(c) ==
  \E m \in FromHome(c, "Data") :
    /\ Meant(c, m) /\ Dead(c, m) /\ m.grant = "M" /\ cache[c].again
    /\ Granted(c, m, m.version - 1)

(* The grant came with a dead version: the cache asks for the version to start from. *)
DataMDead(c) ==
  \E m \in FromHome(c, "Data") :
    /\ Meant(c, m) /\ Dead(c, m) /\ m.grant = "M" /\ ~cache[c].again
    /\ LET again == GetMOf(Serial(c), cache[c].version, cache[c].content) IN
       /\ Becomes(c, [Asked(c, "IM_D", again) EXCEPT !.again = TRUE])
       /\ Takes(c, Home, m, ToHome(again))
       /\ Timed(c, {}, AskTimers)
    /\ CacheOnly /\ Silent /\ UNCHANGED invoked

Wrote(c, at, m) ==
  [cache[c] EXCEPT !.at = at, !.version = m.version, !.content = cache[c].asked.content,
                   !.uses = 0, !.epoch = 0, !.asked = None]

WroteAs(c, grant) ==
  \E m \in FromHome(c, "PutAck") :
    /\ Meant(c, m) /\ ~Dead(c, m) /\ m.grant = grant
    /\ Hears(c, m, Wrote(c, grant, m), << >>, AnsweredTimers)
    /\ Answers(c)

PutAckS(c) == cache[c].at \in {"IS_A", "MS_A"} /\ WroteAs(c, "S")
PutAckE(c) == cache[c].at \in {"IS_A", "MS_A"} /\ WroteAs(c, "E")

PutAckDead(c) ==
  \E m \in FromHome(c, "PutAck") :
    /\ Meant(c, m)
    /\ \/ cache[c].at \in {"IS_A", "MS_A"} /\ Dead(c, m)
       \/ cache[c].at = "IS_A_I"
    /\ Hears(c, m, Wrote(c, "I", m), << >>,
             AnsweredTimers \cup Only(cache[c].at # "IS_A_I", LapseTimers))
    /\ Answers(c)

Nacked(c) ==
  \E m \in FromHome(c, "Nack") :
    /\ Meant(c, m) /\ cache[c].at \in Writing
    /\ Hears(c, m, [cache[c] EXCEPT !.at = "I", !.asked = None,
                                    !.epoch = IF m.reason = "fenced" THEN 0 ELSE @],
             << >>, AnsweredTimers \cup Only(cache[c].at # "IS_A_I", LapseTimers))
    /\ Answers(c)

(* An answer that the cache no longer awaits gives a grant that it no longer wants. *)
LateGrant(c, m) == m.type = "Data" /\ m.grant = "M" /\ m.epoch > cache[c].epoch

Return(c) ==
  \E m \in FromHome(c, "Data") :
    /\ ~Meant(c, m) /\ LateGrant(c, m) /\ cache[c].at \notin Asking
    /\ Hears(c, m, cache[c], ToHome(PutEOf(cache[c].serial, m.epoch)), {})
    /\ Silent

StaleOf(m) == IF m.type = "Inv" THEN m.stale ELSE m.version - 1
AckTo(m) ==
  IF m.type = "Update" THEN ToHome(InvAckOf(m.version))
  ELSE IF m.ack THEN ToHome(InvAckOf(m.stale + 1)) ELSE << >>

IsLate(c, m) ==
  IF m.type = "Inv" THEN m.stale < cache[c].version
  ELSE m.version <= Max(cache[c].version, cache[c].dead_through)

Kills(old, at, m) ==
  [old EXCEPT !.at = at, !.dead_through = Max(@, StaleOf(m)), !.again = FALSE]

(* A notice of a commit, without the content. *)
Invalidated(c, at, cleared) ==
  \E m \in FromHome(c, "Inv") \cup {u \in FromHome(c, "Update") : u.content = NoContent} :
    /\ ~IsLate(c, m)
    /\ Hears(c, m, Kills(cache[c], at, m), AckTo(m), cleared)
    /\ Silent

(* The next state of a cache that loses its copy while it awaits an answer. *)
Stripped(c) == IF cache[c].at = "SM_D" THEN "IM_D" ELSE "IS_A"

InvStable(c) == cache[c].at \in Stable /\ Invalidated(c, "I", LapseTimers)
InvBare(c) == cache[c].at \in Bare /\ Invalidated(c, cache[c].at, {})
InvUnder(c) == cache[c].at \in Covered /\ Invalidated(c, Stripped(c), {})

(* A notice of a commit, with the content. *)
Updated(c, at) ==
  \E m \in FromHome(c, "Update") :
    /\ m.content # NoContent /\ ~IsLate(c, m)
    /\ LET new == IF cache[c].at \in Stable THEN Taken(cache[c], m) ELSE cache[c] IN
       Hears(c, m, Kills(new, at, m), AckTo(m), {})
    /\ Silent

UpdateLive(c) == cache[c].at \in Live /\ Updated(c, "S")
UpdateBare(c) == cache[c].at \in Bare \cup {"I"} /\ Updated(c, cache[c].at)
UpdateUnder(c) == cache[c].at \in Covered /\ Updated(c, Stripped(c))

Downgrade(c) ==
  \E m \in FromHome(c, "FwdGetS") :
    /\ cache[c].at = "E"
    /\ Hears(c, m, [cache[c] EXCEPT !.at = "S"], << >>, {})
    /\ Silent

AskedToFinish(c) ==
  \E m \in FromHome(c, "FwdGetM") : Hears(c, m, cache[c], << >>, {}) /\ Silent

CacheLate(c) ==
  /\ \/ \E m \in FromHome(c, "Data") \cup FromHome(c, "PutAck") \cup FromHome(c, "Nack") :
          /\ ~Meant(c, m)
          /\ LateGrant(c, m) => cache[c].at \in Asking
          /\ Hears(c, m, cache[c], << >>, {})
     \/ \E m \in FromHome(c, "Inv") \cup FromHome(c, "Update") :
          IsLate(c, m) /\ Hears(c, m, cache[c], AckTo(m), {})
     \/ \E m \in FromHome(c, "FwdGetS") :
          cache[c].at # "E" /\ Hears(c, m, cache[c], << >>, {})
  /\ Silent

-----------------------------------------------------------------------------
(* Home: a step changes its state h, the messages that it sends (out), and its armed timers (on). *)

Scratch == [h |-> home, out |-> << >>, on |-> timers[Home]]

Says(x, c, m) == [x EXCEPT !.out = Append(@, <<c, m>>)]
To(x, at) == [x EXCEPT !.h.at = at]

RECURSIVE Tells(_, _, _)
Tells(x, cs, m) ==
  IF cs = {} THEN x
  ELSE LET c == CHOOSE d \in cs : TRUE IN Tells(Says(x, c, m), cs \ {c}, m)

At(table, c) == IF c \in DOMAIN table THEN table[c] ELSE -1
Added(table, c, serial) ==
  [d \in DOMAIN table \cup {c} |-> IF d = c THEN Max(At(table, c), serial) ELSE table[d]]
Removed(table, cs) == [d \in DOMAIN table \ cs |-> table[d]]

InQueue(c) == \E i \in DOMAIN home.queue : home.queue[i].cache = c
SerialsInQueue(c) ==
  {home.queue[i].serial : i \in {j \in DOMAIN home.queue : home.queue[j].cache = c}}

(* The newest serial of c that home remembers, in any field. *)
Heard(c) ==
  LET serials == {-1, At(home.sharers, c), At(home.unacked, c)} \cup SerialsInQueue(c)
                 \cup Only(home.owner = c, {home.owner_serial})
  IN CHOOSE s \in serials : \A t \in serials : s >= t

(* ask is a GetS, a GetM or a place in the queue: its cache holds home's version and content. *)
Holds(ask, h) == ask.have = h.version /\ ask.have # 0 /\ ask.digest = h.content

Answer(x, c, ask, grant, epoch) ==
  LET version == x.h.version
      have == ask.have
      delta == have # 0 /\ 0 < version - have /\ version - have <= DeltaWindow
  IN Says(x, c,
       IF Holds(ask, x.h)
       THEN DataOf(ask.serial, version, grant, epoch, have, NoContent)
       ELSE DataOf(ask.serial, version, grant, epoch, IF delta THEN have ELSE 0, x.h.content))

Shares(x, c, serial) == [x EXCEPT !.h.sharers = Added(@, c, serial)]
Downgraded(x, c) == Tells(x, DOMAIN x.h.sharers \ {c}, FwdGetSOf)

Gives(x, c, ask) ==
  LET y == [Shares(x, c, ask.serial) EXCEPT !.h.owner = c, !.h.owner_serial = ask.serial]
  IN [Answer(y, c, ask, "M", y.h.epoch) EXCEPT !.on = @ \cup Only(GrantLease, {"grant"})]

NewGrant(x, c, ask) == Gives([x EXCEPT !.h.epoch = @ + 1], c, ask)

EndGrant(x) ==
  [x EXCEPT !.h.owner = NoOne, !.h.owner_serial = 0, !.on = @ \ Only(GrantLease, {"grant"})]

Acked(x, c) ==
  IF c \notin DOMAIN x.h.unacked THEN x
  ELSE LET rest == Removed(x.h.unacked, {c})
       IN [x EXCEPT !.h.unacked = rest,
                    !.on = @ \ Only(Validity /\ DOMAIN rest = {}, {"acks"})]

ForgetCopy(x, c) == Acked([x EXCEPT !.h.sharers = Removed(@, {c})], c)

Waits(waiter, c) == waiter.cache = c
Dequeued(x, c) ==
  LET Other(waiter) == ~Waits(waiter, c)
  IN [x EXCEPT !.h.queue = SelectSeq(@, Other)]

Forget(x, c) ==
  LET y == Dequeued(ForgetCopy(x, c), c)
  IN IF y.h.writer = c THEN [y EXCEPT !.h.writer = NoOne, !.h.writer_serial = 0] ELSE y

Judge(x, c, serial, refusal) ==
  LET Other(verdict) == verdict.cache # c
  IN [x EXCEPT !.h.verdicts = Append(SelectSeq(@, Other),
        [cache |-> c, serial |-> serial, version |-> x.h.version, refusal |-> refusal])]

Commits(x, c, m) ==
  Judge([x EXCEPT !.h.version = @ + 1, !.h.content = m.content, !.h.writer = c,
                  !.h.writer_serial = m.serial], c, m.serial, "none")

(* Home tells the other holders, and awaits those that must acknowledge. *)
Announces(x, c, m) ==
  LET others == Removed(x.h.sharers, {c})
      version == x.h.version
      word == CASE Announce = "Inv" -> InvOf(version - 1, Strict)
                [] Announce = "Update" -> UpdateOf(version, version - 1, x.h.content)
                [] Announce = "pointer" -> UpdateOf(version, 0, NoContent)
      stay == IF Announce = "Update" THEN x.h.sharers ELSE << >>
      gone == DOMAIN stay = {}
      told == Tells([x EXCEPT !.h.sharers = Added(stay, c, m.serial)], DOMAIN others, word)
      awaited == IF gone /\ ~Strict THEN << >> ELSE others
      y == IF gone /\ ~Strict
           THEN [told EXCEPT !.h.unacked = << >>,
                             !.on = @ \ Only(Validity /\ DOMAIN x.h.unacked # {}, {"acks"})]
           ELSE told
  IN IF DOMAIN awaited = {} THEN y
     ELSE IF DOMAIN y.h.unacked = {}
     THEN [y EXCEPT !.h.unacked = awaited, !.on = @ \cup Only(Validity, {"acks"})]
     ELSE [y EXCEPT !.h.unacked =
             [d \in DOMAIN @ \cup DOMAIN awaited |-> Max(At(@, d), At(awaited, d))]]

Finish(x, grant) ==
  LET y == IF x.h.writer = NoOne THEN x
           ELSE Says(x, x.h.writer, PutAckOf(x.h.writer_serial, x.h.version, grant))
  IN [y EXCEPT !.h.writer = NoOne, !.h.writer_serial = 0, !.h.at = grant]

GrantNext(x) ==
  LET first == Head(x.h.queue)
      rest == Tail(x.h.queue)
      y == NewGrant(To([x EXCEPT !.h.queue = rest], "M"), first.cache, first)
  IN IF rest = << >> THEN y ELSE Says(y, first.cache, FwdGetMOf)

(* The internal events that follow: the rows LastAck, Lazy, Queued and Empty. *)
RECURSIVE Settled(_)
Settled(x) ==
  LET h == x.h IN
  CASE h.at = "S_A" /\ DOMAIN h.unacked = {} ->
         Settled(Finish(x, IF DOMAIN h.sharers = {h.writer} /\ h.queue = << >> THEN "E" ELSE "S"))
    [] h.at = "S_A" /\ DOMAIN h.unacked # {} /\ ~Strict -> Settled(Finish(x, "S"))
    [] h.at \in Free /\ h.queue # << >> -> GrantNext(x)
    [] h.at \in {"S", "E"} /\ h.queue = << >> /\ DOMAIN h.sharers = {} -> To(x, "I")
    [] OTHER -> x

FromCache(c, type) == {m \in Offered(c, Home) : m.type = type}

(* Home receives m from c, and takes the state x and the internal events that follow. *)
Does(c, m, x) ==
  LET y == Settled(x) IN
  /\ home' = y.h
  /\ Takes(Home, c, m, y.out)
  /\ timers' = [timers EXCEPT ![Home] = y.on]
  /\ HomeOnly

-----------------------------------------------------------------------------
(* Home: reads. *)

Sole(c) == DOMAIN home.sharers \subseteq {c}

ReadBy(c, m, x, grant, at) ==
  Does(c, m, To(Answer(Shares(x, c, m.serial), c, m, grant, 0), at))
InTime(c, m) == Heard(c) <= m.serial

GetSSole(c) ==
  \E m \in FromCache(c, "GetS") :
    InTime(c, m) /\ home.at \in Free /\ Sole(c) /\ ReadBy(c, m, Scratch, "E", "E")

GetS(c) ==
  \E m \in FromCache(c, "GetS") :
    InTime(c, m) /\ home.at = "S" /\ ~Sole(c) /\ ReadBy(c, m, Scratch, "S", "S")

GetSOfE(c) ==
  \E m \in FromCache(c, "GetS") :
    InTime(c, m) /\ home.at = "E" /\ ~Sole(c) /\ ReadBy(c, m, Downgraded(Scratch, c), "S", "S")

GetSBeside(c) ==
  \E m \in FromCache(c, "GetS") :
    InTime(c, m) /\ home.at \in Busy /\ ReadBy(c, m, Scratch, "S", home.at)

-----------------------------------------------------------------------------
(* Home: grants. *)

GetM(c) ==
  \E m \in FromCache(c, "GetM") :
    /\ InTime(c, m) /\ home.at \in Free
    /\ LET x == IF home.at = "E" THEN Downgraded(Scratch, c) ELSE Scratch
       IN Does(c, m, To(NewGrant(x, c, m), "M"))

WaiterOf(c, m) == [cache |-> c, serial |-> m.serial, have |-> m.have, digest |-> m.digest]

GetMWaits(c) ==
  \E m \in FromCache(c, "GetM") :
    /\ InTime(c, m) /\ home.at \in Busy /\ home.owner # c /\ ~InQueue(c)
    /\ LET x == [Scratch EXCEPT !.h.queue = Append(@, WaiterOf(c, m))]
       IN Does(c, m, IF home.at = "M" THEN Says(x, home.owner, FwdGetMOf) ELSE x)

GetMAgain(c) ==
  \E m \in FromCache(c, "GetM") :
    /\ InTime(c, m) /\ home.at \in Busy /\ home.owner # c /\ InQueue(c)
    /\ Does(c, m, [Scratch EXCEPT !.h.queue =
         [i \in DOMAIN @ |-> IF Waits(@[i], c) THEN WaiterOf(c, m) ELSE @[i]]])

GetMRenews(c) ==
  \E m \in FromCache(c, "GetM") :
    InTime(c, m) /\ home.owner = c /\ Does(c, m, Gives(Scratch, c, m))

(* m returns the grant that lives; an older message than the last request does not. *)
ThisGrant(c, m) ==
  /\ home.owner = c
  /\ \/ m.epoch = home.epoch /\ m.serial >= home.owner_serial
     \/ m.epoch = 0 /\ m.serial = home.owner_serial

WaitsUnder(c, serial) == serial \in SerialsInQueue(c)

PutEOwner(c) ==
  \E m \in FromCache(c, "PutE") : ThisGrant(c, m) /\ Does(c, m, To(EndGrant(Scratch), "S"))

PutEQueued(c) ==
  \E m \in FromCache(c, "PutE") :
    /\ ~ThisGrant(c, m) /\ m.epoch = 0 /\ WaitsUnder(c, m.serial)
    /\ Does(c, m, Dequeued(Scratch, c))

GrantExpires ==
  /\ Due(Home, "grant") /\ home.at = "M"
  /\ LET y == Settled(To(EndGrant(Scratch), "S")) IN
     /\ home' = y.h
     /\ Sends(Home, y.out)
     /\ timers' = [timers EXCEPT ![Home] = y.on]
  /\ HomeOnly

-----------------------------------------------------------------------------
(* Home: commits. *)

Judged(c) ==
  {home.verdicts[i] : i \in {j \in DOMAIN home.verdicts : home.verdicts[j].cache = c}}

(* Neither m nor a newer commit of c was judged before, and no newer request of c was heard. *)
IsNew(c, m) == InTime(c, m) /\ \A verdict \in Judged(c) : verdict.serial < m.serial
Fenced(c, m) == m.epoch # 0 /\ ~(home.owner = c /\ m.epoch = home.epoch)
(* m was derived from the current version; its digest may be unknown. *)
Derived(m) == m.base = home.version /\ m.digest \in {NoContent, home.content}
(* m changes nothing. *)
Same(c, m) == IsNew(c, m) /\ Derived(m) /\ m.content = home.content
Fresh(c, m) == IsNew(c, m) /\ ~Fenced(c, m) /\ Derived(m) /\ ~Same(c, m)

PutM(c) ==
  \E m \in FromCache(c, "PutM") :
    /\ Fresh(c, m) /\ home.at \in Free
    /\ Does(c, m, To(Announces(Commits(Scratch, c, m), c, m), "S_A"))

PutMOwner(c) ==
  \E m \in FromCache(c, "PutM") :
    /\ Fresh(c, m) /\ home.owner = c
    /\ Does(c, m, To(Announces(Commits(EndGrant(Scratch), c, m), c, m), "S_A"))

Refuses(c, m, reason) ==
  Does(c, m, Judge(Says(Scratch, c, NackOf(m.serial, reason, home.version)), c, m.serial, reason))

PutMSame(c) ==
  \E m \in FromCache(c, "PutM") :
    /\ Same(c, m) /\ home.at # "S_A"
    /\ LET owned == home.owner = c /\ ~Fenced(c, m)
           x == Shares(IF owned THEN EndGrant(Scratch) ELSE Scratch, c, m.serial)
           y == Says(x, c, PutAckOf(m.serial, home.version, "S"))
       IN Does(c, m, Judge(IF owned \/ home.at \in Free THEN To(y, "S") ELSE y,
                           c, m.serial, "none"))

PutMBusy(c) ==
  \E m \in FromCache(c, "PutM") :
    /\ \/ Fresh(c, m) /\ home.at \in Busy /\ home.owner # c
       \/ Same(c, m) /\ home.at = "S_A"
    /\ Refuses(c, m, "busy")

PutMStale(c) ==
  \E m \in FromCache(c, "PutM") :
    IsNew(c, m) /\ ~Fenced(c, m) /\ ~Derived(m) /\ Refuses(c, m, "stale")

PutMFenced(c) ==
  \E m \in FromCache(c, "PutM") :
    IsNew(c, m) /\ Fenced(c, m) /\ ~Same(c, m) /\ Refuses(c, m, "fenced")

Pending(c, m) == home.writer = c /\ home.writer_serial = m.serial

(* m made the version that some caches have not acknowledged, and another agent sent its writer's *)
(* Leave.                                                                                         *)
Unseen(c, m, verdict) ==
  /\ home.at = "S_A" /\ ~Pending(c, m)
  /\ verdict.refusal = "none" /\ verdict.version = home.version

PutMAgain(c) ==
  \E m \in FromCache(c, "PutM") : \E verdict \in Judged(c) :
    /\ verdict.serial = m.serial /\ ~Pending(c, m) /\ ~Unseen(c, m, verdict)
    /\ Does(c, m, Says(Scratch, c,
         IF verdict.refusal = "none" THEN PutAckOf(m.serial, verdict.version, "S")
         ELSE NackOf(m.serial, verdict.refusal, home.version)))

PutMAwaits(c) ==
  \E m \in FromCache(c, "PutM") : \E verdict \in Judged(c) :
    /\ verdict.serial = m.serial /\ Unseen(c, m, verdict)
    /\ Does(c, m, [Shares(Scratch, c, m.serial) EXCEPT !.h.writer = c,
                                                       !.h.writer_serial = m.serial])

InvAck(c) ==
  \E m \in FromCache(c, "InvAck") :
    /\ c \in DOMAIN home.unacked /\ m.version >= home.version /\ home.at \in Held
    /\ Does(c, m, Acked(Scratch, c))

(* The cache's last request was answered before the commit, so its validity is due before home *)
(* gives up.                                                                                   *)
LapsesFirst(c) == "validity" \in timers[c] /\ cache[c].serial <= home.unacked[c]

AcksExpire ==
  /\ Due(Home, "acks") /\ home.at \in Held
  /\ Strict => \A c \in DOMAIN home.unacked : ~LapsesFirst(c)
  /\ LET silent == {c \in DOMAIN home.unacked : At(home.sharers, c) = home.unacked[c]}
         y == Settled([Scratch EXCEPT !.h.sharers = Removed(@, silent), !.h.unacked = << >>,
                                      !.on = @ \ {"acks"}])
     IN /\ home' = y.h
        /\ Sends(Home, y.out)
        /\ timers' = [timers EXCEPT ![Home] = y.on]
  /\ HomeOnly

-----------------------------------------------------------------------------
(* Home: leaving caches, late messages, and its own crash. *)

Known(c, m) == 0 <= Heard(c) /\ Heard(c) <= m.serial

LeftCopy(c, m) ==
  \/ m.type = "PutS" /\ Known(c, m)
  \/ m.type = "PutE" /\ ~ThisGrant(c, m) /\ m.epoch = 0 /\ ~WaitsUnder(c, m.serial) /\ Known(c, m)

PutS(c) ==
  \E m \in FromCache(c, "PutS") \cup FromCache(c, "PutE") :
    LeftCopy(c, m) /\ home.at \in Held /\ Does(c, m, ForgetCopy(Scratch, c))

Leave(c) ==
  \E m \in FromCache(c, "Leave") :
    /\ InTime(c, m) /\ home.owner # c
    /\ Does(c, m, IF home.at = "I" THEN Scratch ELSE Forget(Scratch, c))

LeaveOwner(c) ==
  \E m \in FromCache(c, "Leave") :
    InTime(c, m) /\ home.owner = c /\ Does(c, m, To(EndGrant(Forget(Scratch, c)), "S"))

Ignored(c, m) ==
  CASE m.type \in {"GetS", "GetM", "Leave"} -> ~InTime(c, m)
    [] m.type = "PutM" -> \/ Pending(c, m)
                          \/ ~IsNew(c, m) /\ \A verdict \in Judged(c) : verdict.serial # m.serial
    [] m.type = "PutS" -> ~Known(c, m)
    [] m.type = "PutE" -> /\ ~ThisGrant(c, m)
                          /\ m.epoch # 0 \/ (~WaitsUnder(c, m.serial) /\ ~Known(c, m))
    [] m.type = "InvAck" -> c \notin DOMAIN home.unacked \/ m.version < home.version

HomeLate(c) ==
  \E m \in Offered(c, Home) : Ignored(c, m) /\ Does(c, m, Scratch)

HomeRestart ==
  /\ ~up[Home]
  /\ up' = [up EXCEPT ![Home] = TRUE]
  /\ LET y == Settled([Scratch EXCEPT !.on =
                Only(Validity /\ DOMAIN home.unacked # {}, {"acks"})
                \cup Only(GrantLease /\ home.at = "M", {"grant"})])
     IN /\ home' = y.h
        /\ Sends(Home, y.out)
        /\ timers' = [timers EXCEPT ![Home] = y.on]
  /\ UNCHANGED <<cache, invoked, waiting, crashes, alarms, backup>>

-----------------------------------------------------------------------------
(* Another agent sends the Leave of a cache that is down, or by mistake of one that is up.  The *)
(* Leave names the newest serial that home remembers: with an older one it would be late.       *)

Buries(c, x) ==
  LET y == Settled(x) IN
  /\ up[Home] /\ Heard(c) >= 0
  /\ IF up[c] THEN alarms > 0 /\ alarms' = alarms - 1 ELSE Farewells /\ alarms' = alarms
  /\ home' = y.h
  /\ Sends(Home, y.out)
  /\ timers' = [timers EXCEPT ![Home] = y.on]
  /\ UNCHANGED <<cache, up, invoked, waiting, crashes, backup>>

Buried(c) == home.owner # c /\ Buries(c, Forget(Scratch, c))
BuriedOwner(c) == home.owner = c /\ Buries(c, To(EndGrant(Forget(Scratch, c)), "S"))

-----------------------------------------------------------------------------
(* Home goes back: a backup replaces it.  Caches are not told. *)

Save ==
  /\ Restores /\ backup = None /\ up[Home]
  /\ backup' = [type |-> "Saved", home |-> home, timers |-> timers[Home]]
  /\ UNCHANGED <<cache, home, net, timers, up, invoked, waiting, crashes, alarms>>

Restore ==
  /\ backup.type = "Saved" /\ up[Home]
  /\ home' = backup.home
  /\ timers' = [timers EXCEPT ![Home] = backup.timers]
  /\ backup' = [type |-> "Spent"]
  /\ UNCHANGED <<cache, net, up, invoked, waiting, crashes, alarms>>

-----------------------------------------------------------------------------
Drop(src, dst) ==
  /\ \E left \in Lost(net[<<src, dst>>]) : net' = [net EXCEPT ![<<src, dst>>] = left]
  /\ UNCHANGED <<cache, home, timers, up, invoked, waiting, crashes, alarms, backup>>

Invoked(c) ==
  \/ LoadMiss(c) \/ LoadHit(c) \/ LoadRefresh(c)
  \/ AcquireMiss(c) \/ AcquireUpgrade(c) \/ AcquireRenew(c)
  \/ CommitBare(c) \/ CommitLive(c)
  \/ Abandon(c) \/ AbandonDraft(c) \/ AbandonOther(c) \/ Replace(c) \/ CacheLeave(c)

TimedOut(c) == Lapse(c) \/ ReAsk(c) \/ GiveUp(c)

CacheHears(c) ==
  \/ DataS(c) \/ DataE(c) \/ DataOnce(c) \/ DataM(c) \/ DataMBehind(c)
  \/ DataMDead(c)
  \/ PutAckS(c) \/ PutAckE(c) \/ PutAckDead(c) \/ Nacked(c) \/ Return(c)
  \/ InvStable(c) \/ InvBare(c) \/ InvUnder(c)
  \/ UpdateLive(c) \/ UpdateBare(c) \/ UpdateUnder(c)
  \/ Downgrade(c) \/ AskedToFinish(c) \/ CacheLate(c)

HomeHears(c) ==
  \/ GetSSole(c) \/ GetS(c) \/ GetSOfE(c) \/ GetSBeside(c)
  \/ GetM(c) \/ GetMWaits(c) \/ GetMAgain(c) \/ GetMRenews(c)
  \/ PutEOwner(c) \/ PutEQueued(c) \/ PutS(c) \/ Leave(c) \/ LeaveOwner(c)
  \/ PutM(c) \/ PutMOwner(c) \/ PutMSame(c) \/ PutMBusy(c) \/ PutMStale(c) \/ PutMFenced(c)
  \/ PutMAgain(c) \/ PutMAwaits(c)
  \/ InvAck(c) \/ HomeLate(c)

HomeTimedOut == GrantExpires \/ AcksExpire

Next ==
  \/ \E c \in Agents : Invoked(c) \/ TimedOut(c) \/ CacheHears(c) \/ HomeHears(c) \/ CacheRestart(c)
  \/ \E c \in Agents : Drop(c, Home) \/ Drop(Home, c)
  \/ \E c \in Agents : Buried(c) \/ BuriedOwner(c)
  \/ \E p \in Processes : Crash(p)
  \/ HomeTimedOut \/ HomeRestart \/ Save \/ Restore

Spec == Init /\ [][Next]_vars

(* The assumptions about the environment: it delivers messages, lets timers run out and restarts *)
(* crashed processes.  A network that may lose messages delivers one that is sent again and      *)
(* again.                                                                                        *)
Fairness ==
  /\ \A c \in Agents :
       /\ IF IsLossy THEN SF_vars(CacheHears(c)) /\ SF_vars(HomeHears(c))
          ELSE WF_vars(CacheHears(c)) /\ WF_vars(HomeHears(c))
       /\ WF_vars(Lapse(c)) /\ WF_vars(ReAsk(c)) /\ WF_vars(GiveUp(c)) /\ WF_vars(CacheRestart(c))
  /\ WF_vars(GrantExpires) /\ WF_vars(AcksExpire) /\ WF_vars(HomeRestart)

FairSpec == Spec /\ Fairness

(* A crashed cache need not restart, and no lease need run out: another agent sends its Leave. *)
(* For networks that lose no message, and applications that end their grants.                  *)
MortalFairness ==
  \A c \in Agents :
    /\ WF_vars(CacheHears(c)) /\ WF_vars(HomeHears(c))
    /\ WF_vars(Lapse(c)) /\ WF_vars(ReAsk(c)) /\ WF_vars(GiveUp(c))
    /\ WF_vars(Abandon(c) \/ AbandonDraft(c)) /\ WF_vars(Buried(c) \/ BuriedOwner(c))

MortalSpec == Spec /\ MortalFairness

-----------------------------------------------------------------------------
(* Properties. *)

TypeOK ==
  /\ \A c \in Agents :
       /\ cache[c].at \in Stable \cup Reading \cup Asking \cup Writing
       /\ cache[c].version \in Nat /\ cache[c].serial \in Nat /\ cache[c].epoch \in Nat
       /\ cache[c].dead_through \in Int /\ cache[c].uses \in Nat
  /\ home.at \in Free \cup Busy
  /\ home.version \in Nat /\ home.epoch \in Nat
  /\ home.owner \in Agents \cup {NoOne} /\ home.writer \in Agents \cup {NoOne}
  /\ DOMAIN home.sharers \subseteq Agents /\ DOMAIN home.unacked \subseteq Agents
  /\ timers \in [Processes -> SUBSET {"validity", "retry", "deadline", "grant", "acks"}]

(* The invariants of CacheState and HomeState. *)
WellFormed ==
  /\ (home.owner # NoOne) <=> (home.at = "M")
  /\ home.queue # << >> => home.at \in Busy
  /\ home.writer # NoOne => home.at = "S_A"
  /\ home.at = "I" => DOMAIN home.sharers = {}
  /\ home.at = "E" => Cardinality(DOMAIN home.sharers) = 1
  /\ \A c \in Agents :
       /\ (cache[c].asked = None) <=> (cache[c].at \in Stable)
       /\ cache[c].at \in Live \cup Covered => cache[c].version > cache[c].dead_through
       /\ cache[c].again => cache[c].asked.type = "GetM"

(* Each copy has a bound, each request is repeated, and no timer is armed without a reason. *)
TimersFit ==
  /\ \A c \in Agents :
       /\ "validity" \in timers[c] <=> Validity /\ cache[c].at \in Live \cup Covered
                                                                \cup {"IS_D", "IM_D", "IS_A"}
       /\ "retry" \in timers[c] <=> Retry /\ cache[c].at \notin Stable
       /\ "deadline" \in timers[c] => cache[c].at \in Asking
  /\ up[Home] =>
       /\ "grant" \in timers[Home] <=> GrantLease /\ home.at = "M"
       /\ "acks" \in timers[Home] <=> Validity /\ DOMAIN home.unacked # {}

(* While a grant lives, its owner's draft is derived from the current version. *)
DraftIsCurrent ==
  \A c \in Agents :
    cache[c].at = "M" /\ home.owner = c /\ home.epoch = cache[c].epoch
      => cache[c].version = home.version

(* Every waiting application is answered, every waiter leaves the queue, every old copy ends. *)
Answered == \A c \in Agents : waiting[c] ~> ~waiting[c]
LeavesQueue == \A c \in Agents : InQueue(c) ~> ~InQueue(c)
Outdated(c) == cache[c].at \in Live \cup Covered /\ cache[c].version < home.version
ValidOrNone == \A c \in Agents : Outdated(c) ~> ~Outdated(c)
=============================================================================
