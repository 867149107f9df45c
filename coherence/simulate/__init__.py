"""The main job: what coherence saves, by our engine and by the paper's own rules.

``scenario`` and ``catalogue`` say what is simulated, ``stream`` who does what, ``paper`` and
``engine`` play it, ``measures`` and ``published`` judge it, ``jobs`` spreads it over the cores,
``report`` and ``cli`` show it.
"""
