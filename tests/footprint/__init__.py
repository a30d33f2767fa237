"""What one consumer of shard channels costs its servers and itself: ``make footprint``.

Each row of the table is one consumer, in a process of its own, on a cluster that nobody else uses:

- *Commands* are the difference of two ``INFO commandstats`` of each node, at the begin and at the
  end of the window. What the consumer did not send is taken out: the SPUBLISH of the publisher, the
  REPLCONF by which a replica acknowledges, and one INFO and one CLIENT LIST of the harness. The
  nodes are configured so that no primary sends a PING to its replicas within a run.
- *Bytes* are ``tot-net-in`` and ``tot-net-out`` in CLIENT LIST, over the consumer's connections.
  The bytes of a connection that closes within the window are not counted; its commands are.
- *Connections* are those at the end of the window that were not there before the consumer started.
- *CPU* is ``getrusage`` of the consumer's process, all threads, over the window.

``rows`` says what is measured, ``measure`` carries out one row, ``verdict`` says what a row may
cost. ``docs/operations.md`` has the last table.
"""
