"""One connection to one server: bytes, replies, the handshake."""
