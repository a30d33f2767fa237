"""The pub/sub objects that users hold."""
