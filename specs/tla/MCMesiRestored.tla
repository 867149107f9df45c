--------------------------- MODULE MCMesiRestored ---------------------------
(***************************************************************************)
(* The properties of Mesi when home goes back.  The variables that Mesi    *)
(* does not have are history: the caches in doubt, which home has not      *)
(* answered since it went back, and the number of messages of the lost     *)
(* history that are in transit to each cache.  For channels that are       *)
(* ordered and reliable.                                                   *)
(***************************************************************************)
EXTENDS Mesi

VARIABLES doubtful, old

history == <<doubtful, old>>

RInit ==
  /\ Init
  /\ doubtful = {}
  /\ old = [c \in Agents |-> 0]

(* c adopts the version that home's answer names. *)
Confirms(c) ==
  \/ DataS(c) \/ DataE(c) \/ DataOnce(c) \/ DataM(c) \/ DataMBehind(c)
  \/ PutAckS(c) \/ PutAckE(c) \/ PutAckDead(c)
  \/ UpdateLive(c)
  \/ cache[c].at = "I" /\ UpdateBare(c)

Listens(c) ==
  /\ CacheHears(c)
  /\ old' = [old EXCEPT ![c] = IF @ > 0 THEN @ - 1 ELSE 0]
  /\ doubtful' = IF old[c] = 0 /\ Confirms(c) THEN doubtful \ {c} ELSE doubtful

GoesBack ==
  /\ Restore
  /\ doubtful' = Agents
  /\ old' = [c \in Agents |-> Size(net[<<Home, c>>])]

RNext ==
  \/ \E c \in Agents : Listens(c)
  \/ GoesBack
  \/ /\ \/ \E c \in Agents : Invoked(c) \/ TimedOut(c) \/ HomeHears(c)
        \/ HomeTimedOut \/ Save
     /\ UNCHANGED history

RSpec == RInit /\ [][RNext]_<<vars, history>>

(* A cache that is not in doubt and holds home's version number holds home's content, readable or *)
(* dead.                                                                                          *)
Confirmed ==
  \A c \in Agents \ doubtful :
    cache[c].version = home.version => cache[c].content = home.content

DraftsConfirmed ==
  \A c \in Agents \ doubtful :
    cache[c].at = "M" /\ home.owner = c /\ home.epoch = cache[c].epoch
      => cache[c].version = home.version

(* Every commit is derived from the content that it replaces, and does not come under a grant *)
(* that has ended.                                                                            *)
SoundCommits ==
  [][backup' = backup /\ home'.version # home.version =>
       \E c \in Agents : \E m \in FromCache(c, "PutM") :
         /\ m.base = home.version /\ m.digest \in {NoContent, home.content}
         /\ m.content = home'.content /\ m.content # home.content
         /\ m.epoch # 0 => home.owner = c /\ home.epoch = m.epoch]_vars

(* For configurations that must fail: only numbers are compared. *)
HoldsNumber(ask, h) == ask.have = h.version /\ ask.have # 0
DerivedByNumber(m) == m.base = home.version
=============================================================================
