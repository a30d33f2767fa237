"""A process as a member of a fleet: carries out what ``actors.worker.fleet`` decides.

To be read first: membership.py, which takes facts and times from connections and gives them to the
decisions, and carry_out.py, the actor that does what follows.
"""
