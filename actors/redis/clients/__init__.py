"""The clients that users hold, and their commands."""
