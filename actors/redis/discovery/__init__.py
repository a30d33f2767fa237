"""What the nodes of a cluster say about it: whom to ask, how often, and how answers agree."""
