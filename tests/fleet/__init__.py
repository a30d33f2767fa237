"""Fleets of real processes under faults: ``make fleet`` prints what is lost, what comes twice."""
