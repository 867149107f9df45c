--------------------------- MODULE MCMesiCoherent ---------------------------
(***************************************************************************)
(* Mesi implements LeasedCopies and Coherence.  The variables of these     *)
(* that Mesi does not have are history: each action states its effect on   *)
(* them, and no guard reads them.                                          *)
(***************************************************************************)
EXTENDS Mesi

VARIABLES log, asked, seen, done, grants

history == <<log, asked, seen, done, grants>>

HInit ==
  /\ Init
  /\ log = << >>
  /\ asked = [c \in Agents |-> 0]
  /\ seen = [c \in Agents |-> 0]
  /\ done = 0
  /\ grants = << >>

HAsks(c) ==
  /\ \/ LoadMiss(c) \/ LoadRefresh(c) \/ AcquireMiss(c) \/ AcquireUpgrade(c) \/ AcquireRenew(c)
     \/ CommitBare(c) \/ CommitLive(c) \/ DataMDead(c)
  /\ asked' = [asked EXCEPT ![c] = home.version]
  /\ UNCHANGED <<log, seen, done>>

HTakes(c) ==
  /\ DataS(c) \/ DataE(c) \/ DataOnce(c) \/ DataM(c) \/ DataMBehind(c) \/ UpdateLive(c)
  /\ seen' = [seen EXCEPT ![c] = cache'[c].version]
  /\ UNCHANGED <<log, asked, done>>

HLearns(c) ==
  /\ PutAckS(c) \/ PutAckE(c) \/ PutAckDead(c)
  /\ seen' = [seen EXCEPT ![c] = Max(@, cache'[c].version)]
  /\ done' = Max(done, cache'[c].version)
  /\ UNCHANGED <<log, asked>>

HPublishes(c) ==
  /\ PutM(c) \/ PutMOwner(c)
  /\ \E m \in FromCache(c, "PutM") :
       /\ \E i \in DOMAIN home'.verdicts :
            home'.verdicts[i].cache = c /\ home'.verdicts[i].serial = m.serial
       /\ log' = Append(log, [content |-> home'.content, base |-> m.base, under |-> m.epoch])
  /\ UNCHANGED <<asked, seen, done>>

HRest ==
  /\ \/ \E c \in Agents :
          \/ LoadHit(c) \/ Abandon(c) \/ AbandonDraft(c) \/ AbandonOther(c) \/ Replace(c)
          \/ CacheLeave(c)
          \/ TimedOut(c) \/ CacheRestart(c) \/ Drop(c, Home) \/ Drop(Home, c)
          \/ Nacked(c) \/ Return(c) \/ InvStable(c) \/ InvBare(c) \/ InvUnder(c)
          \/ UpdateBare(c) \/ UpdateUnder(c) \/ Downgrade(c) \/ AskedToFinish(c) \/ CacheLate(c)
          \/ GetSSole(c) \/ GetS(c) \/ GetSOfE(c) \/ GetSBeside(c)
          \/ GetM(c) \/ GetMWaits(c) \/ GetMAgain(c) \/ GetMRenews(c)
          \/ PutEOwner(c) \/ PutEQueued(c) \/ PutS(c) \/ Leave(c) \/ LeaveOwner(c)
          \/ PutMSame(c) \/ PutMBusy(c) \/ PutMStale(c) \/ PutMFenced(c) \/ PutMAgain(c)
          \/ PutMAwaits(c)
          \/ InvAck(c) \/ HomeLate(c)
     \/ \E c \in Agents : Buried(c) \/ BuriedOwner(c)
     \/ \E p \in Processes : Crash(p)
     \/ HomeTimedOut \/ HomeRestart
  /\ UNCHANGED <<log, asked, seen, done>>

HNext ==
  /\ HRest \/ \E c \in Agents : HAsks(c) \/ HTakes(c) \/ HLearns(c) \/ HPublishes(c)
  /\ grants' = IF home'.epoch = home.epoch THEN grants
               ELSE Append(grants, [to |-> home'.owner, base |-> home'.version])

HSpec == HInit /\ [][HNext]_<<vars, history>>

Copies ==
  [c \in Agents |->
     IF cache[c].at \in Live THEN <<cache[c].version, cache[c].content>> ELSE << >>]

Leased ==
  INSTANCE LeasedCopies WITH
    Leases <- GrantLease \/ Alarms > 0,
    Contents <- (Agents \cup {Anyone}) \X (0..9),
    live <- home.owner # NoOne,
    awaited <- IF Strict THEN DOMAIN home.unacked ELSE {},
    copy <- Copies,
    under <- [c \in Agents |-> IF cache[c].at = "M" THEN cache[c].epoch ELSE 0]

Follows == Leased!Spec

Abstract ==
  INSTANCE Coherence WITH
    log <- [v \in DOMAIN log |-> log[v].content],
    copy <- Copies,
    holder <- home.owner

Refines == Abstract!ASpec

THEOREM Alarms = 0 => (HSpec => Follows /\ Refines)

(* Every commit is derived from the version before it, changes it, and does not come under a *)
(* grant that has ended.                                                                     *)
SoundCommits ==
  [][home'.version # home.version =>
       \E c \in Agents : \E m \in FromCache(c, "PutM") :
         /\ m.base = home.version /\ m.digest \in {NoContent, home.content}
         /\ m.content = home'.content /\ m.content # home.content
         /\ m.epoch # 0 => home.owner = c /\ home.epoch = m.epoch]_vars

(* For configurations that must fail: a guard is replaced by one of these. *)
Never(c) == FALSE
NeverFor(c, m) == FALSE
Unjudged(c, m) == IsNew(c, m)
Unheard(c, m) == \A verdict \in Judged(c) : verdict.serial < m.serial
FencedByOwner(c, m) == m.epoch # 0 /\ home.owner # c
=============================================================================
