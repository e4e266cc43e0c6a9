"""Runs real programs on libc's malloc and on a preloaded one, and compares what they do.

Modules, bottom up (each imports only those above it):

    model       records passed between the modules: observations, usage, results
    processes   finding, tracing and killing the processes that we started
    launch      one measured process: LD_PRELOAD, user, timeout, CPU time, peak RSS
    session     what a client sees while it runs: steps, servers, timed blocks
    client      the base class of a client, and the registry
    compare     verdicts: is the candidate's run the same as libc's?
    packages    which Debian packages are missing, and their installation
    preload     the library under test: built or given, copied, shown to load
    report      the table, the JSON, the Markdown, the evidence of failures
    runner      the order of runs
    cli         the command line

`programs/` holds the clients, one file a program; `workloads/` the scripts and sources that they run.
"""
