-------------------------------- MODULE Cykas --------------------------------
(***************************************************************************)
(* Eager messages, and recipients that keep them secret: causal/cykas.py.  *)
(*                                                                         *)
(* Sources: Tong, Liittschwager and Kuper, "Cykas" (arXiv 2603.14690,      *)
(* 2026), abstract and introduction, and the design note of the repository *)
(* secret-causal-unicast (README, 2022).  We did not have the paper's full *)
(* text.  That a process empties its output buffer from the head is our    *)
(* reading.  That an acknowledgement or a release applies to all ids up to *)
(* its own is ours.  Here at most one message is in transit to each        *)
(* process, so a later message can be overtaken only by the release of an  *)
(* earlier one.                                                            *)
(***************************************************************************)
EXTENDS CausalLinks

VARIABLES
  count,     \* Processes -> messages sent by the application
  queue,     \* Processes -> sequence of [id, dst]: the output buffer
  flight,    \* Processes -> set of messages that went and are not settled
  secrets,   \* Processes -> set of <<owner, id>>: delivered, and still secret
  early,     \* Processes -> set of <<owner, id>>: released before they arrived
  got        \* Processes -> Processes -> the last id that it delivered from there

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
(* Rules for the queue (q) and the messages in flight (f) of one process. *)

Unacknowledged(f) == {e \in f : ~e.acked}

(* An earlier message of the same sender is undelivered, as far as the sender knows. *)
Earlier(q, f, id) ==
  \/ \E e \in Unacknowledged(f) : e.id < id
  \/ \E i \in DOMAIN q : q[i].id < id

(* At most one message on the wire to each process (README, 2022). *)
MayGo(m, f) == \A e \in Unacknowledged(f) : e.dst # m.dst

(* A message that goes is eager if an earlier message is undelivered (README, 2022). *)
Flies(m, q, f) ==
  [id |-> m.id, dst |-> m.dst, eager |-> Earlier(q, f, m.id), acked |-> FALSE, released |-> FALSE]

Packet(e) == <<e.dst, DataOf(e.id, 0, e.eager)>>

(* Messages go from the head of the queue, until the head may not go. *)
RECURSIVE Worked(_, _, _)
Worked(q, f, out) ==
  IF q = << >> \/ ~MayGo(Head(q), f) THEN [queue |-> q, flight |-> f, out |-> out]
  ELSE LET e == Flies(Head(q), q, f)
       IN  Worked(Tail(q), f \cup {e}, Append(out, Packet(e)))

(* A process that keeps a secret sends no message at all. *)
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

(* The application hands over a message and continues. *)
Send(p, q) ==
  LET m == [id |-> count[p] + 1, dst |-> q]
      to == Pumped(Append(queue[p], m), flight[p], secrets[p])
  IN  /\ count' = [count EXCEPT ![p] = @ + 1]
      /\ Posts(p, to.out)
      /\ Becomes(p, to)
      /\ UNCHANGED <<secrets, early, got>>

(* A message is delivered and acknowledged at once, even while the process keeps secrets. *)
ReceiveData(p, s, m) ==
  LET name == <<s, m.id>>
      kept == IF Keeps(m) THEN {name} \ early[p] ELSE {}
  IN  /\ Takes(p, s, m, << <<s, AckOf(m.id)>> >>)
      /\ secrets' = [secrets EXCEPT ![p] = @ \cup kept]
      /\ early' = [early EXCEPT ![p] = @ \ {name}]
      /\ got' = [got EXCEPT ![p][s] = m.id]
      /\ UNCHANGED <<count, queue, flight>>

(* The process releases the secrets that waited for this acknowledgement.  Queued messages may *)
(* then go.                                                                                    *)
ReceiveAck(p, s) ==
  \E m \in Coming(p, s, "Ack") :
    LET f == {[e EXCEPT !.acked = @ \/ (e.dst = s /\ e.id <= m.id)] : e \in flight[p]}
        free == Releasable(queue[p], f)
        to == Pumped(queue[p], Unsettled(Released(f, free)), secrets[p])
    IN  /\ Takes(p, s, m, ReleasesOf(free) \o to.out)
        /\ Becomes(p, to)
        /\ UNCHANGED <<count, secrets, early, got>>

(* Secrets up to this id have ended.  A release that overtook its message is remembered. *)
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

(* A queued message waits for an acknowledgement or a release. *)
Sound ==
  \A p \in Processes :
    queue[p] # << >> => secrets[p] # {} \/ ~MayGo(Head(queue[p]), flight[p])
=============================================================================
