"""The clients that are measured. Each module has one function:

``consume(job, received)`` subscribes to the job's shard channels, calls ``received()`` for each
message, and never returns.
"""
