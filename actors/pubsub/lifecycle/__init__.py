"""The actors of one pub/sub object, their supervision tree, and how they start and end."""
