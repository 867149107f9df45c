"""Grids of settings: every combination measured, with intervals, to be continued at any time.

``settings`` has the keys that can be varied, ``requests`` reads a grid from a file or a command
line.  ``measuring`` says what is measured in one run, ``planning`` lists what a grid needs, and
``results`` keeps it by its parameters.  ``pools`` and ``cluster`` are the processes that measure,
of this machine or of many; ``running`` has them do what is missing.  ``lines`` sums runs up,
``tables`` and ``command`` show that.
"""
