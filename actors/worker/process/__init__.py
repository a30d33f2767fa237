"""Operating system processes: one worker process, or a parent of several."""
