"""What a connection is told: addresses, credentials, TLS, time limits."""
