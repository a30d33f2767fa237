"""An embedded cluster, and the changes and faults that a test asks of it."""
