--------------------------- MODULE MCTransactions ---------------------------
(***************************************************************************)
(* Transactions with constants for TLC.  A state without a step is a       *)
(* deadlock, unless all transactions are over.                             *)
(***************************************************************************)
EXTENDS Transactions

NamesInOrder == <<"x", "y">>

NoDeadlock ==
  ENABLED Next \/ \A a \in Agents : txn[a].at = "idle" /\ txn[a].begun = Times
=============================================================================
