"""What ends the command with one line on stderr."""


class UsageError(Exception):
    """The arguments make no sense: status 2."""


class FuzzError(Exception):
    """Something that is needed does not work: status 1, or 2 where nothing could be run."""
