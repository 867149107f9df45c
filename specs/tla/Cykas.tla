-------------------------------- MODULE Cykas --------------------------------
(***************************************************************************)
(* Eager messages, and recipients that keep the secret: causal/cykas.py.   *)
(*                                                                         *)
(* Sources: Tong, Liittschwager and Kuper, "Cykas" (arXiv 2603.14690,      *)
(* 2026), abstract and introduction, and the design note of the repository *)
(* secret-causal-unicast (README, 2022).  The paper's full text was not at *)
(* hand: that the output buffer is worked off from its head is our         *)
(* reading.  That acknowledgements and releases mean "up to" is ours; here *)
(* at most one message is under way to each process, so a later one can    *)
(* only be overtaken by the release of an earlier one.                     *)
(***************************************************************************)
EXTENDS CausalLinks

VARIABLES
  count,     \* Processes -> messages sent by the application
  queue,     \* Processes -> sequence of [id, dst]: the output buffer
  flight,    \* Processes -> set of what was put on the wire and is not settled
  secrets,   \* Processes -> set of <<owner, id>>: delivered, and not to be told
  early,     \* Processes -> set of <<owner, id>>: released before they came
  got        \* Processes -> Processes -> the id last delivered from there

vars == <<net, count, queue, flight, secrets, early, got>>

Queued == [id : Nat \ {0}, dst : Processes]
Flying == [id : Nat \ {0}, dst : Processes, eager : BOOLEAN, acked : BOOLEAN, released : BOOLEAN]
Secret == Processes \X (Nat \ {0})

TypeOK ==
  /\ count \in [Processes -> Nat]
  /\ \A p \in Processes :
       /\ queue[p] \in Seq(Queued)
       /\ flight[p] \subseteq Flying
       /\ secrets[p] \subseteq Secret
       /\ early[p] \subseteq Secret
  /\ got \in [Processes -> [Processes -> Nat]]

Init ==
  /\ net = [pair \in Pairs |-> Nothing]
  /\ count = [p \in Processes |-> 0]
  /\ queue = [p \in Processes |-> << >>]
  /\ flight = [p \in Processes |-> {}]
  /\ secrets = [p \in Processes |-> {}]
  /\ early = [p \in Processes |-> {}]
  /\ got = [p \in Processes |-> [s \in Processes |-> 0]]

-----------------------------------------------------------------------------
(* Rules for what one process has queued (q) and in flight (f). *)

Unacknowledged(f) == {e \in f : ~e.acked}

(* An earlier message of the same sender is undelivered, as far as it knows. *)
Earlier(q, f, id) ==
  \/ \E e \in Unacknowledged(f) : e.id < id
  \/ \E i \in DOMAIN q : q[i].id < id

(* At most one message on the wire to each process (README, 2022). *)
MayGo(m, f) == \A e \in Unacknowledged(f) : e.dst # m.dst

(* On the wire it is eager if an earlier one is undelivered (README, 2022). *)
Flies(m, q, f) ==
  [id |-> m.id, dst |-> m.dst, eager |-> Earlier(q, f, m.id), acked |-> FALSE, released |-> FALSE]

Packet(e) == <<e.dst, DataOf(e.id, 0, e.eager)>>

(* From the head of the queue, as long as that may go. *)
RECURSIVE Worked(_, _, _)
Worked(q, f, out) ==
  IF q = << >> \/ ~MayGo(Head(q), f) THEN [queue |-> q, flight |-> f, out |-> out]
  ELSE LET e == Flies(Head(q), q, f)
       IN  Worked(Tail(q), f \cup {e}, Append(out, Packet(e)))

(* A process that keeps any secret sends nothing at all. *)
Pumped(q, f, kept) ==
  IF kept = {} THEN Worked(q, f, << >>) ELSE [queue |-> q, flight |-> f, out |-> << >>]

(* A secret ends when all earlier messages of its owner are delivered (README, 2022). *)
Releasable(q, f) == {e \in f : e.eager /\ ~e.released /\ ~Earlier(q, f, e.id)}

ReleasesOf(set) ==
  LET e == ById(set) IN [i \in DOMAIN e |-> <<e[i].dst, ReleaseOf(e[i].id)>>]

Released(f, set) == {[e EXCEPT !.released = @ \/ e \in set] : e \in f}

Unsettled(f) == {e \in f : ~e.acked \/ (e.eager /\ ~e.released)}

(* Whether an arriving message is to be kept secret. *)
Keeps(m) == m.eager

-----------------------------------------------------------------------------
(* Actions. *)

Becomes(p, to) ==
  /\ queue' = [queue EXCEPT ![p] = to.queue]
  /\ flight' = [flight EXCEPT ![p] = to.flight]

(* The application hands over a message, and goes on. *)
Send(p, q) ==
  LET m == [id |-> count[p] + 1, dst |-> q]
      to == Pumped(Append(queue[p], m), flight[p], secrets[p])
  IN  /\ count' = [count EXCEPT ![p] = @ + 1]
      /\ Posts(p, to.out)
      /\ Becomes(p, to)
      /\ UNCHANGED <<secrets, early, got>>

(* Deliver and acknowledge at once, also while keeping secrets. *)
ReceiveData(p, s, m) ==
  LET name == <<s, m.id>>
      kept == IF Keeps(m) THEN {name} \ early[p] ELSE {}
  IN  /\ Takes(p, s, m, << <<s, AckOf(m.id)>> >>)
      /\ secrets' = [secrets EXCEPT ![p] = @ \cup kept]
      /\ early' = [early EXCEPT ![p] = @ \ {name}]
      /\ got' = [got EXCEPT ![p][s] = m.id]
      /\ UNCHANGED <<count, queue, flight>>

(* Release what waited for this; then what it was that kept others from the wire is gone. *)
ReceiveAck(p, s) ==
  \E m \in Coming(p, s, "Ack") :
    LET f == {[e EXCEPT !.acked = @ \/ (e.dst = s /\ e.id <= m.id)] : e \in flight[p]}
        free == Releasable(queue[p], f)
        to == Pumped(queue[p], Unsettled(Released(f, free)), secrets[p])
    IN  /\ Takes(p, s, m, ReleasesOf(free) \o to.out)
        /\ Becomes(p, to)
        /\ UNCHANGED <<count, secrets, early, got>>

(* Secrets up to this id may be told; a release that overtook its message is remembered. *)
Told(p, s, m) == secrets[p] \ {x \in secrets[p] : x[1] = s /\ x[2] <= m.id}

ReceiveRelease(p, s) ==
  \E m \in Coming(p, s, "Release") :
    LET kept == Told(p, s, m)
        to == Pumped(queue[p], flight[p], kept)
    IN  /\ Takes(p, s, m, to.out)
        /\ secrets' = [secrets EXCEPT ![p] = kept]
        /\ early' = [early EXCEPT ![p] = @ \cup IF m.id > got[p][s] THEN {<<s, m.id>>} ELSE {}]
        /\ Becomes(p, to)
        /\ UNCHANGED <<count, got>>

Next ==
  \E <<p, q>> \in Pairs :
    \/ Send(p, q)
    \/ \E m \in Coming(p, q, "Data") : ReceiveData(p, q, m)
    \/ ReceiveAck(p, q)
    \/ ReceiveRelease(p, q)

Spec == Init /\ [][Next]_vars

(* What waits does so for an acknowledgement or a release. *)
Sound ==
  \A p \in Processes :
    queue[p] # << >> => secrets[p] # {} \/ ~MayGo(Head(queue[p]), flight[p])
=============================================================================
