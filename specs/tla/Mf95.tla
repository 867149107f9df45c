-------------------------------- MODULE Mf95 --------------------------------
(***************************************************************************)
(* Traditional sender-side causal delivery: causal/mf95.py.                *)
(*                                                                         *)
(* Source: Mattern and Fuenfrocken, "A Non-Blocking Lightweight            *)
(* Implementation of Causal Order Message Delivery" (LNCS 938, 1995).  The *)
(* application never blocks: a message that may not go yet waits in an     *)
(* output buffer between the application and the links.  A message goes    *)
(* once every earlier message of its sender is acknowledged; it is         *)
(* delivered when it arrives.                                              *)
(***************************************************************************)
EXTENDS CausalLinks

VARIABLES
  count,     \* Processes -> messages sent by the application
  queue,     \* Processes -> sequence of [id, dst]: the output buffer
  flight     \* Processes -> set of [id, dst]: sent and not acknowledged

vars == <<net, count, queue, flight>>

Message == [id : Nat \ {0}, dst : Processes]

TypeOK ==
  /\ count \in [Processes -> Nat]
  /\ \A p \in Processes :
       /\ queue[p] \in Seq(Message)
       /\ flight[p] \subseteq Message

Init ==
  /\ net = [pair \in Pairs |-> Nothing]
  /\ count = [p \in Processes |-> 0]
  /\ queue = [p \in Processes |-> << >>]
  /\ flight = [p \in Processes |-> {}]

(* Stop and wait, whatever the destination. *)
MayGo(unacknowledged) == unacknowledged = {}

(* p has the queue q and the unacknowledged messages f; the oldest of q goes if it may. *)
Goes(q, f) == q # << >> /\ MayGo(f)

Out(q, f) == IF Goes(q, f) THEN << <<Head(q).dst, DataOf(Head(q).id, 0, FALSE)>> >> ELSE << >>

Settles(p, q, f) ==
  /\ queue' = [queue EXCEPT ![p] = IF Goes(q, f) THEN Tail(q) ELSE q]
  /\ flight' = [flight EXCEPT ![p] = IF Goes(q, f) THEN f \cup {Head(q)} ELSE f]

(* The application hands over a message and continues. *)
Send(p, q) ==
  LET m == [id |-> count[p] + 1, dst |-> q]
      waiting == Append(queue[p], m)
  IN  /\ count' = [count EXCEPT ![p] = @ + 1]
      /\ Posts(p, Out(waiting, flight[p]))
      /\ Settles(p, waiting, flight[p])

ReceiveData(p, s, m) ==
  /\ Takes(p, s, m, << <<s, AckOf(m.id)>> >>)
  /\ UNCHANGED <<count, queue, flight>>

ReceiveAck(p, s) ==
  \E m \in Coming(p, s, "Ack") :
    LET left == {x \in flight[p] : ~(x.dst = s /\ x.id <= m.id)}
    IN  /\ Takes(p, s, m, Out(queue[p], left))
        /\ Settles(p, queue[p], left)
        /\ UNCHANGED count

Next ==
  \E <<p, q>> \in Pairs :
    \/ Send(p, q)
    \/ \E m \in Coming(p, q, "Data") : ReceiveData(p, q, m)
    \/ ReceiveAck(p, q)

Spec == Init /\ [][Next]_vars

(* No queued message could go, and each waits for an acknowledgement. *)
Sound == \A p \in Processes : queue[p] # << >> => flight[p] # {}
=============================================================================
