"""Many nodes: connections to them, routing of commands, redirects."""
