"""One run of a worker: start, work, drain, stop."""
