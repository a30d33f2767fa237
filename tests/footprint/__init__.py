"""What one consumer of shard channels costs its servers and itself: ``make footprint``.

Each row of the table is one consumer, in a process of its own, on a cluster that nobody else uses:

- *Commands* are the difference of two ``INFO commandstats`` of each node. A cluster at rest counts
  four things that no consumer sends, and all four are taken out: the SPUBLISH of the publisher,
  the REPLCONF by which a replica acknowledges, and the INFO and CLIENT LIST of this harness, which
  asks each node once at the begin of the window and once at its end. The nodes are configured so
  that a primary sends no PING to its replicas within a run.
- *Bytes* are ``tot-net-in`` and ``tot-net-out`` of the consumer's connections in CLIENT LIST, as
  the node counts them: what it read from them and what it wrote to them. A connection that closes
  within the window takes its bytes along; its commands are counted all the same.
- *Connections* are those of CLIENT LIST at the end of the window that were not there before the
  consumer started.
- *CPU* is ``getrusage`` of the consumer's process, all threads, over the window.

``rows`` says what is measured, ``verdict`` what a row may cost, ``measure`` carries out one row.
``docs/operations.md`` has the last table.
"""
