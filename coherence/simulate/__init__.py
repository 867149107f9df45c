"""The cost and the savings of coherence, by our engine and by the paper's own rules.

``scenario`` and ``catalogue`` define a simulation, ``stream`` draws its actions, ``paper`` and
``engine`` play it, ``measures`` and ``published`` judge it, ``jobs`` spreads it over the cores,
``report`` and ``cli`` show it.
"""
