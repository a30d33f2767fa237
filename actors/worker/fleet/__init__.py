"""Several processes that consume as one: which of them owns which name, and since when (pure).

Facts and times go in, decisions come out (decisions.py): nothing here does I/O. To be read first:
member.py, the decisions of one member, and script.py, the record on the server.
"""
