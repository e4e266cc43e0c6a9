"""The table of options: what is read of it, and the documents made from it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import unittest

from tools.hakmem_lib import cli, option_docs, option_table

ROWS = """/* HAK_FLAG(NO_ROW, 0, NOW, "in a comment") */
HAK_WORD(WAY, "up\\0down", NOW,
         "which `way`; "
         "\\"quoted\\", and so on")
HAK_NUMBER(SIZE_BYTES, BYTES, 2 * MIB + 0, 0, 4 * GIB, THREAD, "how much")
HAK_TEXT(PATH, 255, START, "where")
""".replace(" + 0", "")


class Parse(unittest.TestCase):
    def test_rows(self) -> None:
        way, size, path = option_table.parse(ROWS)
        self.assertEqual((way.name, way.type, way.words, way.when_text), ("WAY", "word", ("up", "down"), "at once"))
        self.assertEqual(way.meaning, 'which `way`; "quoted", and so on')
        self.assertEqual((way.default_value, way.default_text, way.range_text), ("up", "up", "up, down"))
        self.assertEqual((size.default, size.least, size.most, size.unit), (2 << 20, 0, 4 << 30, "bytes"))
        self.assertEqual((size.default_value, size.default_text, size.range_text), ("2097152", "2m", "0 to 4g"))
        self.assertEqual((path.default_value, path.range_text, path.when_text), ("", "up to 255 bytes", "at start"))

    def test_what_is_no_row(self) -> None:
        for text in ('HAK_ODD(A, "b")\n', "HAK_FLAG(A, {1}, NOW, )\n", 'HAK_FLAG(A, 1, NOW, "m"\n'):
            with self.assertRaises(ValueError):
                option_table.parse(text)

    def test_the_table_itself(self) -> None:
        options = option_table.read()
        names = [option.name for option in options]
        self.assertEqual(len(set(names)), len(names))
        self.assertIn("DECAY_MS", names)
        self.assertEqual(len(names), len(re.findall(r"(?m)^HAK_", option_table.PATH.read_text())))
        for option in options:
            self.assertRegex(option.name, r"^[A-Z][A-Z_]*[A-Z]$")
            self.assertLessEqual(option.least, option.default, option.name)
            self.assertLessEqual(option.default, option.most if option.type != "word" else 0, option.name)
            self.assertNotIn("|", option.meaning, option.name)
            self.assertFalse(option.meaning.endswith("."), option.name)


class Documents(unittest.TestCase):
    def test_they_are_what_the_table_makes_them(self) -> None:
        for name, text in option_docs.updated(option_table.ROOT).items():
            page = (option_table.ROOT / name).read_text(encoding="utf-8")
            self.assertEqual(page, text, f"{name}: renew it with python3 -m tools.hakmem_lib.option_docs")

    def test_only_the_block_is_replaced(self) -> None:
        self.assertEqual(option_table.replaced("a\n<\nold\n>\nb\n", "<", ">", ["x"]), "a\n<\nx\n>\nb\n")
        with self.assertRaises(ValueError):
            option_table.replaced("a\n<\n", "<", ">", ["x"])

    def test_roff_has_no_requests_of_its_own(self) -> None:
        option = option_table.Option("A", "flag", "NOW", ".so `x-y`\\")
        self.assertEqual(option_table.roff([option])[-1], "\\&.so \\fBx\\-y\\fP\\e.")


class Command(unittest.TestCase):
    def outcome(self, *arguments: str) -> tuple[int, str, str]:
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            status = cli.main(["options", *arguments])
        return status, stdout.getvalue(), stderr.getvalue()

    def test_all(self) -> None:
        status, text, _ = self.outcome()
        self.assertEqual(status, 0)
        for option in option_table.read():
            self.assertRegex(text, rf"(?m)^{option.name.lower()}  \(.*default {re.escape(option.default_text)}; ")
        self.assertLessEqual(max(map(len, text.splitlines())), 120)

    def test_one_in_any_spelling(self) -> None:
        for name in ("decay_ms", "DECAY_MS", "HAKMEM_DECAY_MS"):
            status, text, _ = self.outcome(name)
            self.assertEqual((status, text.splitlines()[0].split()[0]), (0, "decay_ms"))

    def test_json(self) -> None:
        rows = json.loads(self.outcome("--json")[1])
        self.assertEqual([row["name"].upper() for row in rows], [option.name for option in option_table.read()])
        (decay,) = json.loads(self.outcome("--json", "decay_ms")[1])
        self.assertEqual((decay["default"], decay["min"], decay["max"], decay["unit"]), (500, 0, 3600000, "ms"))
        (action,) = json.loads(self.outcome("--json", "on_error")[1])
        self.assertEqual((action["default"], action["values"]), ("abort", ["abort", "warn", "ignore"]))

    def test_no_such_process(self) -> None:
        self.assertEqual(self.outcome("--pid", "99999999"), (2, "", "hakmem options: no such process: 99999999\n"))

    def test_no_such_option(self) -> None:
        self.assertEqual(self.outcome("no_such"), (2, "", "hakmem options: no such option: no_such\n"))


if __name__ == "__main__":
    unittest.main()
