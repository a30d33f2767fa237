"""A cluster as values: who serves which slot, who replicates whom. Pure."""
