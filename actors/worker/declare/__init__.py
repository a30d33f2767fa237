"""What a worker is declared to be: decorators, handlers, signatures, checks."""
