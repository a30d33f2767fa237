"""What there is to see of a running worker: counters, health, metrics, snapshots."""
