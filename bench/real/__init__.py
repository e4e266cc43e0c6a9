"""Real programs as rows of tools/bench: the same clients that tools/clients compares, made short and run in turn.

catalog is the table of rows; servers and tools are the programs that need other work here than there; programs runs
one of them under one allocator. Needs tools/ in PYTHONPATH, for clients_lib.
"""
