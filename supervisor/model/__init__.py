"""The values of supervision: specs, retry policies, exit reasons, events, errors."""
