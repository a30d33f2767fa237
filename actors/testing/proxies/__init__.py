"""A TCP proxy that injects network faults."""
