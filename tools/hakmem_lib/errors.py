"""What a command cannot go on after."""


class CommandError(Exception):
    """Wrong input, or a process, file or right that is not there. The text is one line that names what was wrong; the
    command ends with status 2."""


def left_over(argument: str) -> str:
    """What is wrong with an argument that no command knows."""
    return f"no such option: {argument}" if argument.startswith("-") else f"one too many: {argument}"
