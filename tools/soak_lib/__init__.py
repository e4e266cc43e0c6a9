"""Runs the stress programs in rotation, with new seeds and thread counts, and counts what they did.

Modules, bottom up (each imports only those above it):

    model       records passed between the modules: plans, results, totals
    bazelrc     the configurations of .bazelrc and the environment that their programs need
    build       the list of programs, built and copied
    rotation    which program runs next, with which seed and how many threads
    process     one run: started, timed, read
    report      the table, the log, the totals, what is kept of a failure
    soak        the loop
    cli         the command line
"""
