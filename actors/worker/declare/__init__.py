"""Declarations: from decorators to handlers."""
