"""Recovery: positions in histories, and the reader that gets what a channel has missed."""
