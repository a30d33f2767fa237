"""One subscriber connection: commands out, confirmations and messages in."""
