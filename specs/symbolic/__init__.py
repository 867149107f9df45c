"""Proofs for any number of processes: the shipped steps, executed on symbolic states by z3.

`engine` and `values` know nothing of what they execute.  `standins` has the laws of the operations
on a directory's lists, `views` the terms of states and histories.  `invariants` says what always
holds of home and of any cache, `claims` what holds of any message.  `home` and `cache` execute the
two sides, `prover` puts a proof together, `broken` has the mistakes that the proofs must refute.

The modules of the `hybrid` prove causal order in the same manner; `loops` cuts the loops of what
they execute.
"""
