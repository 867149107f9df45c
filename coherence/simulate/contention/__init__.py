"""Transactions of agents that think for long: what a refused one costs in model calls.

``play`` runs a team on the homes and the joint rule that ship; ``command`` is
``coherence simulate transactions``.
"""

__all__: list[str] = []
