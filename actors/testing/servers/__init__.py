"""One embedded server: found, started, watched over, stopped."""
