"""hakmem(1): what each command takes, from the command line itself, and what holds for all of them."""

from __future__ import annotations

import argparse
from typing import Iterator

_HEAD = r"""\" Written by `tools/hakmem --man`; change tools/hakmem_lib/man.py or the command, and write it anew.
.TH HAKMEM 1 "" HAKMEM "HAKMEM manual"
.SH NAME
hakmem \- look into the HAKMEM memory allocator
"""

_DESCRIPTION = r"""HAKMEM is a malloc for Linux. The commands below start programs on it, and look from outside into
processes that run on it: those are not stopped, need no special build, and pay nothing.
"""

_TAIL = r""".SH EXIT STATUS
.TP
.B 0
The command has done what it was asked for.
.TP
.B 1
It has, and the answer is no: traces that differ, blocks that did not hold what was written to them, something for
.B doctor
to look at.
.TP
.B 2
It was given what it cannot work with: an unknown option, a process that is not there, may not be looked into or does not
run on HAKMEM, a file that is none of its own, is cut off or damaged. One line on the standard error says which.
.PP
.B run
and
.B trace
end with the status of the program that they start.
.SH ENVIRONMENT
.TP
.B LD_PRELOAD
What is named there already stays, behind the library.
.TP
.BR HAKMEM_ *
Options of the library:
.BR hakmem.conf (5).
.TP
.BR HAKTRACE_FILE ", " HAKTRACE_PID
Set by
.B trace
for the library that records: the trace to write, and the process that writes it under this very name. Every other writes
.IR FILE . PID .
.SH EXAMPLES
.TP
.B hakmem run redis-server
redis on HAKMEM, with a report at the end.
.TP
.B hakmem trace \-o /tmp/gcc.trace \-\- gcc \-O2 \-c big.c
Every allocation of gcc in
.IR /tmp/gcc.trace ,
and of the compiler that it starts in
.IR /tmp/gcc.trace.PID .
.TP
.B hakmem replay \-\-allocator all /tmp/gcc.trace.4711
The same allocations on HAKMEM, glibc, mimalloc, jemalloc and tcmalloc.
.TP
.B hakmem advise /tmp/gcc.trace.4711
Settings that would have been better.
.SH SEE ALSO
.BR hakmem (3),
.BR hakmem.conf (5),
.BR malloc (3),
.BR ld.so (8)
"""


def page(parser: argparse.ArgumentParser) -> str:
    """The manual page of the command line."""
    parts = ["." + _HEAD, ".SH SYNOPSIS\n", *_synopsis(parser), ".SH DESCRIPTION\n", _DESCRIPTION, ".SH OPTIONS\n"]
    parts += [_argument(action) for action in _arguments(parser)]
    parts.append(".SH COMMANDS\n")
    for name, command in _commands(parser):
        parts.append(f".SS {escaped(_usage(name, command))}\n")
        parts.append(_sentence(command.description) + "\n")
        parts += [_argument(action) for action in _arguments(command)]
    return "".join([*parts, _TAIL])


def escaped(text: str) -> str:
    """Text as roff reads it: no line of it begins a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # pylint: disable=protected-access
        if isinstance(action, argparse._SubParsersAction):  # pylint: disable=protected-access
            yield from action.choices.items()


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What is to be explained, in the order in which it is declared; --help explains itself."""
    return [action for action in parser._actions  # pylint: disable=protected-access
            if not isinstance(action, (argparse._SubParsersAction, argparse._HelpAction))  # pylint: disable=protected-access
            and action.help != argparse.SUPPRESS and (action.option_strings or action.help)]


def _synopsis(parser: argparse.ArgumentParser) -> Iterator[str]:
    for name, command in _commands(parser):
        yield f".B hakmem {escaped(name)}\n{escaped(_rest(command))}\n.br\n"


def _usage(name: str, command: argparse.ArgumentParser) -> str:
    return f"{name} {_rest(command)}".strip()


def _rest(command: argparse.ArgumentParser) -> str:
    """Options in short, then what is positional."""
    words = ["[options]"] if any(action.option_strings for action in _arguments(command)) else []
    for action in command._actions:  # pylint: disable=protected-access
        if action.option_strings:
            continue
        word = _value(action)
        words.append(f"[{word} ...]" if action.nargs in ("*", argparse.REMAINDER) else f"[{word}]" if action.nargs == "?" else word)
    return " ".join(words)


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def _argument(action: argparse.Action) -> str:
    value = _value(action)
    if action.nargs == 0:
        value = ""
    elif isinstance(action.metavar, tuple):
        value = " ".join(action.metavar)
    elif isinstance(action.nargs, int):
        value = " ".join([value] * action.nargs)
    names = [f"\\fB{escaped(name)}\\fR" for name in action.option_strings]
    shown = ", ".join(names) + (f" \\fI{escaped(value)}\\fR" if value else "") if names else f"\\fI{escaped(value)}\\fR"
    choices = f" One of {', '.join(map(str, action.choices))}." if action.choices and action.metavar else ""
    return f".TP\n{shown}\n{_sentence(_expanded(action))}{escaped(choices)}\n"


def _expanded(action: argparse.Action) -> str:
    return (action.help or "") % {**vars(action), "prog": "hakmem"}


def _sentence(text: str | None) -> str:
    text = (text or "").strip()
    first = text.split(" ", 1)[0]
    # The name of a file stays as it is.
    begin = text[:1] if "." in first.rstrip(".") else text[:1].upper()
    return escaped(begin + text[1:] + ("" if text.endswith((".", ":")) else "."))
