"""The subscription table: wanted against actual, and the commands that follow. Pure."""
