"""tools/misuse: the crimes of hakmem/testing/misuse under several allocators.

    measure     every crime under every allocator, several times
    page        the tables of docs/misuse.md
    cli         the command line
"""
