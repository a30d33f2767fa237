"""Mailslot measured beside the bare loop and other clients: ``make bench``, ``make bench-quick``.

How it is done, the same for all:

- Each contestant runs in a fresh process, one after another, for several rounds in turn, so that a
  busy moment of the machine meets all of them. Figures are medians over all rounds.
- The server is real and private. This process publishes, over a raw socket, commands packed
  beforehand.
- *Bursts*: the consumer is blocked while a burst is published, and then has it all waiting at its
  socket. So it is the consumer's own speed that is measured, not that of the server or of the
  publisher, and every burst is smaller than any bound: nothing is lost, by anybody, or the run
  fails. The figure is the processor time of the whole process, all threads, a message.
- *Streams*: the publisher keeps a window of messages on their way and never waits otherwise.
- *Paces*: a message now and then, alternately to each contestant, for latencies.

``docs/performance.md`` has the figures and what they led to, ``gate.py`` what must hold.
"""
