"""The workspace: the calls of an agent, over `coherence.runtime`.

Read in this order::

    reading, writing  each operation once, as a generator;  resolving: what solves a conflict
    draft, changes    what `edit` and `watch` give
    agent, aio        which run operations: by blocking, by awaiting;  threads: for blocking calls
    workspace         the front door;  aio_workspace: for tasks
    json              values in place of texts
    overview          what a person watches, read from the store alone
    telemetry         counters for OpenTelemetry
"""
