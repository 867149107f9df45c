"""Judges whether what the clients of a store have observed is strictly serializable.

Read in this order::

    lines       the form of an observation;  history: all of them, as arrays
    orders      the order of versions, as contents testify it;  versions: as the store reports it
    graph       dependencies and real time, and their components
    cycles      the shortest cycle of a component, and its name
    anomalies   the kinds;  witness: what a person reads
    judging     all of it
    simulated   histories of a simulated store, right and wrong
    edn         the same observations for other checkers
    command     the command line

`judging` needs numpy and scipy, which are an extra.
"""
