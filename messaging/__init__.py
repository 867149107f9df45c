"""The shared core: what a process is, and what drives one.

Read in this order; each module imports only those above it::

    process     the contract: events in, commands out, one pure step function
    network     what a network promises, by name
    errors      one tree: whose fault, and what to do
    ports       what a driver asks of the outside, and the errors that drivers share
    netmodel    a network that can be simulated: latency, loss, copies, reordering
    oracle      a view of a simulation, for those who watch
    simulator   seeded queue, virtual time
"""
