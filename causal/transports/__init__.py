"""Ways for frames to travel between endpoints, behind one port.

* `port`: what an endpoint asks of a transport
* `memory`: endpoints of one event loop
* `stream`: TCP and Unix sockets, with a shared-key check of who is speaking
* `postgres`: a table of a PostgreSQL database, for many machines
* `conformance`: what every transport must show; run it on your own
"""
