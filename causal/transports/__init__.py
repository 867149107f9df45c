"""Ways for frames to travel between endpoints, behind one port.

* `port`: the interface of a transport to its endpoint
* `memory`: endpoints of one event loop
* `stream`: TCP and Unix sockets, with authentication by a shared key or by certificates; made of
  `addresses`, `unix`, `seal`, `framed`, `greeting`, `certificates`, `strangers`, `host`,
  `incoming`, `outgoing`
* `postgres`: a table of a PostgreSQL database, for many machines
* `conformance`: the checks that every transport must pass; run them on your own
"""
