"""The hot path: from a parsed reply to the queue of its consumer."""
