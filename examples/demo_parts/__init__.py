"""The parts of ``python -m examples.demo``.

ledger.py   which messages were published, which arrived, and which losses gaps explain
worker.py   the handlers, the actors behind them, and the publishers
view.py     the actor tree as rows
story.py    the events as lines: faults, recoveries, restarts, gaps
display.py  the terminal: a live tree, or plain lines
stage.py    one run: starts everything, injects the faults, adds up
single.py   the faults of one server
cluster.py  the faults of a cluster
"""
