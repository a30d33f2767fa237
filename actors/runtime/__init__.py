"""Floor 2: what an actor is. Knows the supervisor, and no Redis."""
