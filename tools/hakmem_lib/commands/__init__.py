"""One module a command: SUMMARY (one line), add_arguments(parser), and run(options), which returns the exit status."""
