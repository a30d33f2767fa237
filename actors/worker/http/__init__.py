"""The HTTP port of a worker."""
