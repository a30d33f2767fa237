"""Many nodes: discovery, routing of commands, redirects."""
