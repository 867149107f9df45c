--------------------------- MODULE MCLeasedCopies ---------------------------
(***************************************************************************)
(* LeasedCopies with constants for TLC: agents are model values, and       *)
(* commits and grants are bounded.                                         *)
(***************************************************************************)
EXTENDS LeasedCopies, TLC

CONSTANTS Commits, Grants

OwnContents == Agents \X {0}
SameContents == {Anyone} \X {0, 1}
Symmetric == Permutations(Agents)

MCSpec == Init /\ [][Next /\ Len(log') <= Commits /\ Len(grants') <= Grants]_vars

(* For configurations that must fail: a guard is replaced by one of these. *)
AnyBase(base) == TRUE
OnlyHolder(c, epoch) == Holder \in {NoOne, c}
Unheard(c) == TRUE
=============================================================================
