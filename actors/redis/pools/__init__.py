"""Many connections: kept, counted and lent."""
