"""The table of options, hakmem/config/options.h, and what is made from it."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATH = ROOT / "hakmem/config/options.h"

_SIZES = {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_SUFFIXES = ((1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k"))
_TOKEN = re.compile(r'\s*(?:"((?:\\.|[^"\\])*)"|([A-Z_]\w*)|(\d+)|([*(),]))')
_WHEN = {"START": "at start", "NOW": "at once", "THREAD": "for new threads"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One row. Numbers have a unit (bytes, ms, count), a default and a range; words their list; texts a longest length."""

    name: str
    type: str
    when: str
    meaning: str
    unit: str = ""
    default: int = 0
    least: int = 0
    most: int = 0
    words: tuple[str, ...] = ()

    @property
    def default_value(self) -> str:
        """As the library prints it."""
        if self.type == "text":
            return ""
        return self.words[0] if self.type == "word" else str(self.default)

    @property
    def default_text(self) -> str:
        """As a person would write it."""
        if self.type == "text":
            return "empty"
        return self._short(self.default) if self.type == "number" else self.default_value

    @property
    def range_text(self) -> str:
        """What values there are."""
        if self.type == "word":
            return ", ".join(self.words)
        if self.type == "text":
            return f"up to {self.most} bytes"
        if self.type == "flag":
            return "0, 1"
        return f"{self._short(self.least)} to {self._short(self.most)}"

    @property
    def type_text(self) -> str:
        """What kind of value it is."""
        return {"bytes": "bytes", "ms": "milliseconds"}.get(self.unit, self.type)

    @property
    def when_text(self) -> str:
        """When a value takes effect."""
        return _WHEN[self.when]

    def _short(self, number: int) -> str:
        for size, suffix in _SUFFIXES if self.unit == "bytes" else ():
            if number and number % size == 0:
                return f"{number // size}{suffix}"
        return str(number)


def read(path: pathlib.Path = PATH) -> list[Option]:
    """The rows of the table, in its order."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> list[Option]:
    """As read, of the file's text."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return [_row(kind, text, at) for kind, at in ((m.group(1), m.end()) for m in re.finditer(r"^HAK_(\w+)\(", text, re.M))]


def _row(kind: str, text: str, at: int) -> Option:
    fields = _fields(text, at)
    if kind == "NUMBER":
        name, unit, default, least, most, when, meaning = fields
        return Option(name, "number", when, meaning, unit.lower(), _number(default), _number(least), _number(most))
    if kind == "FLAG":
        name, default, when, meaning = fields
        return Option(name, "flag", when, meaning, "", _number(default), 0, 1)
    if kind == "WORD":
        name, words, when, meaning = fields
        return Option(name, "word", when, meaning, words=tuple(words.split("\0")))
    if kind == "TEXT":
        name, most, when, meaning = fields
        return Option(name, "text", when, meaning, most=_number(most))
    raise ValueError(f"HAK_{kind} is no kind of option")


def _fields(text: str, at: int) -> list[str]:
    """The arguments of a macro, from behind its parenthesis on: words, products, and literals put together."""
    fields = [""]
    while True:
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"not what a row of options has: {text[at:at + 40]!r}")
        at = token.end()
        literal, word, number, mark = token.groups()
        if mark == ")":
            return fields
        if mark == ",":
            fields.append("")
        elif literal is not None:
            fields[-1] += literal.replace("\\0", "\0").replace('\\"', '"').replace("\\\\", "\\")
        else:
            fields[-1] += word or number or mark


def _number(text: str) -> int:
    value = 1
    for factor in text.split("*"):
        value *= _SIZES[factor] if factor in _SIZES else int(factor)
    return value


def markdown(options: Sequence[Option]) -> list[str]:
    """The table of docs/tuning.md."""
    lines = ["| option | default | values | takes effect | what it does |", "|---|---|---|---|---|"]
    for option in options:
        default = "" if option.type == "text" else f"`{option.default_text}`"
        values = ", ".join(f"`{word}`" for word in option.words) or option.range_text
        lines.append(f"| `HAKMEM_{option.name}` | {default} | {values} | {option.when_text} | {option.meaning} |")
    return lines


def roff(options: Sequence[Option]) -> list[str]:
    """The section OPTIONS of hakmem.conf(5)."""
    lines = []
    for option in options:
        lines += [".TP", f".B {option.name.lower()}"]
        lines.append(_roff_text(f"{option.type_text}, {option.range_text}; default {option.default_text}; {option.when_text}."))
        lines.append(".br")
        lines.append(_roff_text(option.meaning[0].upper() + option.meaning[1:] + "."))
    return lines


def _roff_text(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fP", text)
    return "\\&" + text if text.startswith((".", "'")) else text


def replaced(text: str, begin: str, end: str, lines: Sequence[str]) -> str:
    """`text` with other lines between the lines `begin` and `end`."""
    before, found, rest = text.partition(begin + "\n")
    _, closed, after = rest.partition(end + "\n")
    if not found or not closed:
        raise ValueError(f"the page lacks the lines {begin!r} and {end!r}")
    return before + begin + "\n" + "".join(line + "\n" for line in lines) + end + "\n" + after
