------------------------------- MODULE Hybrid -------------------------------
(***************************************************************************)
(* Secrets bound to messages: causal/hybrid.py, the default.               *)
(*                                                                         *)
(* Sources: Almeida, "Sender Permission to Send" (arXiv 2601.11487, 2026), *)
(* for a permit bound to each message and a chain of ids for each pair;    *)
(* "Cykas" (arXiv 2603.14690, 2026) for eager messages and their release.  *)
(* The three relaxations below are ours; we did not have the paper's       *)
(* Algorithm 2.  The cursors that let the code answer in constant time are *)
(* not part of the protocol.                                               *)
(***************************************************************************)
EXTENDS CausalLinks

VARIABLES
  count,     \* Processes -> messages sent by the application
  queue,     \* Processes -> sequence of messages that may not go yet; deps: the secrets of each
  flight,    \* Processes -> set of messages that went and are not settled
  secrets,   \* Processes -> set of <<owner, id>>: delivered, and still secret
  out,       \* Processes -> Processes -> the last id that it sent there
  got,       \* Processes -> Processes -> the last id that it delivered from there
  told,      \* Processes -> Processes -> the id up to which secrets end that have not arrived
  filed      \* Processes -> set of <<source, packet>>: arrived out of order

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
(* Rules for the queue (q) and the messages in flight (f) of one process. *)

Max(set) == CHOOSE x \in set : \A y \in set : y <= x

InQueue(q) == {q[i] : i \in DOMAIN q}

(* The protocol keeps the order of each pair if the links do not. *)
Chained == ~IsOrdered

(* First relaxation: only messages to other processes count, since the chain orders the messages *)
(* of one pair.  Queued messages count too.                                                      *)
Earlier(q, f, m) ==
  \E x \in InQueue(q) \cup {e \in f : ~e.acked} : x.id < m.id /\ x.dst # m.dst

(* Second relaxation: any message may go to the owner of a secret. *)
Blocked(m) == \E s \in m.deps : s[1] # m.dst

(* Third relaxation: a message that is not blocked passes blocked ones, in the order of each *)
(* pair.                                                                                     *)
Going(q) == {m \in InQueue(q) : \A x \in InQueue(q) : x.dst = m.dst /\ x.id <= m.id => ~Blocked(x)}

Stays(q) == LET going == Going(q)
                staying(m) == m \notin going
            IN  SelectSeq(q, staying)

Flies(q, f) ==
  f \cup {[id |-> m.id, dst |-> m.dst, acked |-> FALSE, secret |-> Earlier(q, f, m)] : m \in Going(q)}

(* The id of the last message to dst, among those that go now and those that went before. *)
Last(q, dst, before) == Max({before} \cup {m.id : m \in {x \in Going(q) : x.dst = dst}})

Previous(q, m, before) == Max({before} \cup {x.id : x \in {y \in Going(q) : y.dst = m.dst /\ y.id < m.id}})

Packets(q, f, last) ==
  LET m == ById(Going(q))
      prev(i) == IF Chained THEN Previous(q, m[i], last[m[i].dst]) ELSE 0
  IN  [i \in DOMAIN m |-> <<m[i].dst, DataOf(m[i].id, prev(i), Earlier(q, f, m[i]))>>]

(* p has the queue q, of which some messages may go now. *)
Pumps(p, q) ==
  /\ queue' = [queue EXCEPT ![p] = Stays(q)]
  /\ flight' = [flight EXCEPT ![p] = Flies(q, flight[p])]
  /\ out' = [out EXCEPT ![p] = [dst \in Processes |-> Last(q, dst, @[dst])]]

(* Secrets that end: no earlier message to another process is undelivered. *)
Releasable(q, f) == {e \in f : e.secret /\ ~Earlier(q, f, e)}

(* One release ends all secrets of a pair up to its id. *)
ReleasesOf(set) ==
  LET e == ById({x \in set : \A y \in set : y.dst = x.dst => y.id <= x.id})
  IN  [i \in DOMAIN e |-> <<e[i].dst, ReleaseOf(e[i].id)>>]

Settled(f, free) ==
  {e \in {[x EXCEPT !.secret = @ /\ x \notin free] : x \in f} : ~e.acked \/ e.secret}

(* Whether a message that p delivers is to be kept secret. *)
Keeps(p, s, m) == m.eager /\ m.id > told[p][s]

-----------------------------------------------------------------------------
(* Actions. *)

(* The application hands over a message, which is bound to the secrets that its sender keeps now. *)
Send(p, q) ==
  LET m == [id |-> count[p] + 1, dst |-> q, deps |-> secrets[p]]
      waiting == Append(queue[p], m)
  IN  /\ count' = [count EXCEPT ![p] = @ + 1]
      /\ Posts(p, Packets(waiting, flight[p], out[p]))
      /\ Pumps(p, waiting)
      /\ UNCHANGED <<secrets, got, told, filed>>

(* m, and the messages that arrived before it and are ready with it. *)
RECURSIVE Run(_, _, _)
Run(p, s, m) ==
  {m} \cup UNION {Run(p, s, x[2]) : x \in {y \in filed[p] : y[1] = s /\ y[2].prev = m.id}}

InTurn(p, s, m) == Chained => m.prev = got[p][s]

(* A message is delivered and acknowledged at once, even while the process keeps secrets. *)
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

(* Every message up to this id is delivered: the process releases the secrets that waited for it. *)
ReceiveAck(p, s) ==
  \E m \in Coming(p, s, "Ack") :
    LET new == Acknowledged(p, s, m)
        f == {[e EXCEPT !.acked = @ \/ e \in new] : e \in flight[p]}
        free == Releasable(queue[p], f)
    IN  /\ new # {}
        /\ Takes(p, s, m, ReleasesOf(free))
        /\ flight' = [flight EXCEPT ![p] = Settled(f, free)]
        /\ UNCHANGED <<count, queue, secrets, links>>

(* An acknowledgement that a later one has overtaken. *)
Duplicate(p, s) ==
  \E m \in Coming(p, s, "Ack") :
    /\ Acknowledged(p, s, m) = {}
    /\ Takes(p, s, m, << >>)
    /\ UNCHANGED <<count, queue, flight, secrets, links>>

(* Secrets up to this id have ended, even those of messages that have not arrived. *)
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

(* No queued message could go. *)
Sound == \A p \in Processes : Going(queue[p]) = {}
=============================================================================
