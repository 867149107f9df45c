"""The workspace: homes in a store, caches in this process, and the calls of an agent.

Read in this order::

    view       what a read returns            delta     exact differences of texts
    homes      home steps in a transaction    caches    one agent's cache steps
    exchange   messages between the two       requester asks, and waits for the answer
    effects, reading, writing                 each operation once, as a generator
    agent, aio                                which drive them: by blocking, by awaiting
    workspace, aio_workspace                  the front door, for either kind
    keeper, changes, forks                    leases, watching, child processes
    json                                      values in place of texts
"""
