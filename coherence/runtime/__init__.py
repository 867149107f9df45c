"""The runtime of the MESI engine: caches in this process, homes in a store, messages between them.

Read in this order::

    outcome, trace    what comes of a transaction; the port of a recorder
    caches, holdings  the caches of each agent, and the memory of their copies
    homes             messages go to their homes in a transaction, and back
    follower          what other processes have done, from the store's log
    lookout           does an agent that others wait for still live?  And what to say if it does not
    keeper            leases are renewed, leave messages passed on
    session           one agent: asks, waits, leaves
    site              all of it, for one workspace;  processes, served, agreement, forks: its parts
    recorder          writes down the steps, for the checker

The calls of an agent are in `coherence.workspace`.  Time and threads come in from outside: a
`Clock` and a `Background`.
"""
