"""Two workers, of a cluster and of one server, that live for minutes under random faults."""
