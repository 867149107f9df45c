------------------------------- MODULE Hybrid -------------------------------
(***************************************************************************)
(* Secrets bound to messages: causal/hybrid.py, the default.               *)
(*                                                                         *)
(* Sources: Almeida, "Sender Permission to Send" (arXiv 2601.11487, 2026), *)
(* for a permit bound to each message and a chain of ids for each pair;    *)
(* "Cykas" (arXiv 2603.14690, 2026) for eager messages and their release.  *)
(* The three relaxations below are ours: the paper's Algorithm 2 was not   *)
(* at hand.  The cursors by which the code answers in constant time are    *)
(* no part of the protocol.                                                *)
(***************************************************************************)
EXTENDS CausalLinks

VARIABLES
  count,     \* Processes -> messages sent by the application
  queue,     \* Processes -> sequence of what may not go yet, deps being the secrets it waits for
  flight,    \* Processes -> set of what was put on the wire and is not settled
  secrets,   \* Processes -> set of <<owner, id>>: delivered, and not to be told
  out,       \* Processes -> Processes -> the id last put on the wire to there
  got,       \* Processes -> Processes -> the id last delivered from there
  told,      \* Processes -> Processes -> the id up to which it released what is still to come
  filed      \* Processes -> set of <<source, packet>>: arrived before their turn

links == <<out, got, told, filed>>
vars == <<net, count, queue, flight, secrets, links>>

Secret == Processes \X (Nat \ {0})
Flying == [id : Nat \ {0}, dst : Processes, acked : BOOLEAN, secret : BOOLEAN]

TypeOK ==
  /\ count \in [Processes -> Nat]
  /\ \A p \in Processes :
       /\ \A i \in DOMAIN queue[p] :
            /\ queue[p][i].id \in 1..count[p] /\ queue[p][i].dst \in Processes
            /\ queue[p][i].deps \subseteq secrets[p]
       /\ flight[p] \subseteq Flying
       /\ secrets[p] \subseteq Secret
  /\ out \in [Processes -> [Processes -> Nat]]
  /\ got \in [Processes -> [Processes -> Nat]]
  /\ \A p, s \in Processes : told[p][s] = 0 \/ told[p][s] > got[p][s]

Init ==
  LET none == [p \in Processes |-> {}]
      zero == [p \in Processes |-> [s \in Processes |-> 0]]
  IN  /\ net = [pair \in Pairs |-> Nothing]
      /\ count = [p \in Processes |-> 0]
      /\ queue = [p \in Processes |-> << >>]
      /\ flight = none /\ secrets = none /\ filed = none
      /\ out = zero /\ got = zero /\ told = zero

-----------------------------------------------------------------------------
(* Rules for what one process has queued (q) and in flight (f). *)

Max(set) == CHOOSE x \in set : \A y \in set : y <= x

InQueue(q) == {q[i] : i \in DOMAIN q}

(* The protocol keeps the order of a pair itself where the links do not. *)
Chained == ~IsOrdered

(* First relaxation: only messages to others count, for the chain orders those of one pair.  *)
(* Queued ones count as well.                                                                *)
Earlier(q, f, m) ==
  \E x \in InQueue(q) \cup {e \in f : ~e.acked} : x.id < m.id /\ x.dst # m.dst

(* Second relaxation: the owner of a secret may hear anything. *)
Blocked(m) == \E s \in m.deps : s[1] # m.dst

(* Third relaxation: what is not blocked passes what is, in the order of each pair. *)
Going(q) == {m \in InQueue(q) : \A x \in InQueue(q) : x.dst = m.dst /\ x.id <= m.id => ~Blocked(x)}

Stays(q) == LET going == Going(q)
                staying(m) == m \notin going
            IN  SelectSeq(q, staying)

Flies(q, f) ==
  f \cup {[id |-> m.id, dst |-> m.dst, acked |-> FALSE, secret |-> Earlier(q, f, m)] : m \in Going(q)}

(* The last message to dst, of those that are going and of those that went. *)
Last(q, dst, before) == Max({before} \cup {m.id : m \in {x \in Going(q) : x.dst = dst}})

Previous(q, m, before) == Max({before} \cup {x.id : x \in {y \in Going(q) : y.dst = m.dst /\ y.id < m.id}})

Packets(q, f, last) ==
  LET m == ById(Going(q))
      prev(i) == IF Chained THEN Previous(q, m[i], last[m[i].dst]) ELSE 0
  IN  [i \in DOMAIN m |-> <<m[i].dst, DataOf(m[i].id, prev(i), Earlier(q, f, m[i]))>>]

(* p has q to send, some of which may go by now. *)
Pumps(p, q) ==
  /\ queue' = [queue EXCEPT ![p] = Stays(q)]
  /\ flight' = [flight EXCEPT ![p] = Flies(q, flight[p])]
  /\ out' = [out EXCEPT ![p] = [dst \in Processes |-> Last(q, dst, @[dst])]]

(* What is no secret any more: nothing earlier to others is undelivered. *)
Releasable(q, f) == {e \in f : e.secret /\ ~Earlier(q, f, e)}

(* One release says it for all of a pair up to its id. *)
ReleasesOf(set) ==
  LET e == ById({x \in set : \A y \in set : y.dst = x.dst => y.id <= x.id})
  IN  [i \in DOMAIN e |-> <<e[i].dst, ReleaseOf(e[i].id)>>]

Settled(f, free) ==
  {e \in {[x EXCEPT !.secret = @ /\ x \notin free] : x \in f} : ~e.acked \/ e.secret}

(* Whether a message that p delivers is to be kept secret. *)
Keeps(p, s, m) == m.eager /\ m.id > told[p][s]

-----------------------------------------------------------------------------
(* Actions. *)

(* The application hands over a message, which is bound to what its sender knows now. *)
Send(p, q) ==
  LET m == [id |-> count[p] + 1, dst |-> q, deps |-> secrets[p]]
      waiting == Append(queue[p], m)
  IN  /\ count' = [count EXCEPT ![p] = @ + 1]
      /\ Posts(p, Packets(waiting, flight[p], out[p]))
      /\ Pumps(p, waiting)
      /\ UNCHANGED <<secrets, got, told, filed>>

(* m and what it makes ready: what arrived ahead of it. *)
RECURSIVE Run(_, _, _)
Run(p, s, m) ==
  {m} \cup UNION {Run(p, s, x[2]) : x \in {y \in filed[p] : y[1] = s /\ y[2].prev = m.id}}

InTurn(p, s, m) == Chained => m.prev = got[p][s]

(* Deliver and acknowledge at once, also while keeping secrets. *)
ReceiveData(p, s, m) ==
  LET run == IF Chained THEN Run(p, s, m) ELSE {m}
      last == Max({x.id : x \in run})
  IN  /\ InTurn(p, s, m)
      /\ Takes(p, s, m, << <<s, AckOf(last)>> >>)
      /\ secrets' = [secrets EXCEPT ![p] = @ \cup {<<s, x.id>> : x \in {y \in run : Keeps(p, s, y)}}]
      /\ got' = [got EXCEPT ![p][s] = last]
      /\ told' = [told EXCEPT ![p][s] = IF @ > last THEN @ ELSE 0]
      /\ filed' = [filed EXCEPT ![p] = @ \ {<<s, x>> : x \in run}]
      /\ UNCHANGED <<count, queue, flight, out>>

File(p, s) ==
  \E m \in Coming(p, s, "Data") :
    /\ ~InTurn(p, s, m)
    /\ Takes(p, s, m, << >>)
    /\ filed' = [filed EXCEPT ![p] = @ \cup {<<s, m>>}]
    /\ UNCHANGED <<count, queue, flight, secrets, out, got, told>>

Acknowledged(p, s, m) == {e \in flight[p] : e.dst = s /\ e.id <= m.id /\ ~e.acked}

(* Everything up to this id is delivered: release what waited for it. *)
ReceiveAck(p, s) ==
  \E m \in Coming(p, s, "Ack") :
    LET new == Acknowledged(p, s, m)
        f == {[e EXCEPT !.acked = @ \/ e \in new] : e \in flight[p]}
        free == Releasable(queue[p], f)
    IN  /\ new # {}
        /\ Takes(p, s, m, ReleasesOf(free))
        /\ flight' = [flight EXCEPT ![p] = Settled(f, free)]
        /\ UNCHANGED <<count, queue, secrets, links>>

(* Its successor has overtaken it. *)
Duplicate(p, s) ==
  \E m \in Coming(p, s, "Ack") :
    /\ Acknowledged(p, s, m) = {}
    /\ Takes(p, s, m, << >>)
    /\ UNCHANGED <<count, queue, flight, secrets, links>>

(* Secrets up to this id may be told, also those that are still to come. *)
ReceiveRelease(p, s) ==
  \E m \in Coming(p, s, "Release") :
    LET kept == {x \in secrets[p] : ~(x[1] = s /\ x[2] <= m.id)}
        q == [i \in DOMAIN queue[p] |-> [queue[p][i] EXCEPT !.deps = @ \cap kept]]
    IN  /\ Takes(p, s, m, Packets(q, flight[p], out[p]))
        /\ secrets' = [secrets EXCEPT ![p] = kept]
        /\ told' = [told EXCEPT ![p][s] = IF m.id > got[p][s] THEN Max({@, m.id}) ELSE @]
        /\ Pumps(p, q)
        /\ UNCHANGED <<count, got, filed>>

Next ==
  \E <<p, q>> \in Pairs :
    \/ Send(p, q)
    \/ \E m \in Coming(p, q, "Data") : ReceiveData(p, q, m)
    \/ File(p, q)
    \/ ReceiveAck(p, q)
    \/ Duplicate(p, q)
    \/ ReceiveRelease(p, q)

Spec == Init /\ [][Next]_vars

(* Nothing waits that could go. *)
Sound == \A p \in Processes : Going(queue[p]) = {}
=============================================================================
