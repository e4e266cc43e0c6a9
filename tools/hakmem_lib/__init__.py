"""The `hakmem` command.

Modules, bottom up (each imports only those above it):

    errors      what ends a command with one line and status 2
    library     the library to preload: built on demand or given
    commands/   one module a command: SUMMARY, add_arguments(parser), run(options) -> status
    cli         the command line
"""
