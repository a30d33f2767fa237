"""The parts of ``python -m examples.demo``.

ledger.py   who published what, what arrived, and what the reported gaps explain
worker.py   what is demonstrated: handlers, the actors behind them, and publishers
view.py     the actor tree as rows
story.py    what happened, as lines: faults, recoveries, restarts, gaps
display.py  the terminal: a live tree, or plain lines
stage.py    one run: start everything, break it fault by fault, add up
single.py   the faults of one server
cluster.py  the faults of a cluster
"""
