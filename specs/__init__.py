"""Protocols as checked models: a model checker, the models it checks, their TLA+ twins.

`specs.checker` imports nothing of this distribution and checks any model.  `specs.system` turns
processes of the step contract into models.  `python -m specs` runs them.
"""
