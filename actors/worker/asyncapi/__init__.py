"""AsyncAPI 3: what a worker consumes, as a document for people and programs."""
