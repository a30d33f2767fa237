"""Floor 3, the wire: connections, pools and clients of Redis and Valkey servers."""
