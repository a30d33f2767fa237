"""The table and the connections kept in step. Synchronous: nothing here waits."""
