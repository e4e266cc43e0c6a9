"""What the runner can fail with."""


class BenchError(Exception):
    """The run cannot go on; the message says what is missing and what would help."""


class UsageError(BenchError):
    """The command line asks for something that does not exist."""
