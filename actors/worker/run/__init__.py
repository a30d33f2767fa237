"""One run of a worker: its start, its parts, its end."""
