"""The stores of homes: in memory, in a SQLite file, in PostgreSQL.

Read in this order; each module imports only those above it::

    records                   refused writes, and counts of what agents read and wrote
    port                      what a workspace needs of a store, and the promises
    archive                   what commands, backups and upkeep need beside
    chance, codec, places     random numbers; values as bytes; a place in the log
    living, membership        whether a process has ended; the members of a store
    memory_tables, memory     the shortest store, and the one to read first
    sqlite_file               the file at a path, and the one that is open
    sqlite_connections        its connections, and what transactions share
    sqlite_records            the statements on records
    sqlite_transaction        one transaction
    sqlite_membership, sqlite the members; the store
    postgres_wire             one connection, several statements in a round trip
    postgres_life             this process's lock on the server, and its lease
    postgres_ear              hears of other processes, and tells them
    postgres_connections      the connections, and what transactions share
    postgres_records          the statements on records
    postgres_rows             the decoding of rows
    postgres_transaction      one transaction
    postgres_membership, postgres  the members; the store
    backup                    any store as one SQLite file, and back
    opening                   the store that a URL names

`conformance` tests a store of any kind: `promises` and `joint_promises` those of a store,
`archive_promises` those of an archive.  `faulty` makes a store fail.
"""
