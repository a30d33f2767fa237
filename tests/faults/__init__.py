"""The fault suite: a cluster breaks in every way there is, and every message is accounted for.

- ``publisher`` is a process of its own that shares no code with the product: it publishes numbered
  messages, follows the cluster like a good client, and counts as accepted what a server answered
  with an integer.
- ``stage`` has a cluster, a publisher, and a ``ShardedPubSub`` whose messages and gaps are noted.
- ``scenarios`` are the faults.
- ``verdict``, pure, compares what was accepted with what was seen.

``make faults`` plays all of them at 3,000 messages a second and prints a table (``__main__``); the
tests play them at 1,000. ``docs/faults.md`` has the last figures.
"""
