"""What can be seen of a running worker: counts, health, metrics."""
