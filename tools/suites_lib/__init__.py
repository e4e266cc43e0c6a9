"""tools/suites: long test suites of other projects on libc's malloc and on HAKMEM.

Modules, bottom up; sessions, packages and the library under test are those of clients_lib:

    suite       the base class of a suite: a client whose run shows many checks
    compare     what fails on libc's malloc, what on HAKMEM, and what is new
    runner      the order of runs
    page        the table, in docs/suites.md and for the terminal
    cli         the command line

`programs/` holds the suites, one file a program; `workloads/` the scripts and sources that they run.
"""
