"""The connection to one server that commands share."""
