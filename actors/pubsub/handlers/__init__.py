"""How user code is run: actors, breakers, middleware, threads, failure sinks."""
