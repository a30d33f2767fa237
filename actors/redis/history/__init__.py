"""The history of a channel: a stream that keeps its recent messages; pure."""
