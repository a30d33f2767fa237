"""The HTTP port of a worker: health, metrics, and a page."""
