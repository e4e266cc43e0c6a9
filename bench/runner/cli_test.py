"""Tests of the command line: a whole run on fake programs, and its errors."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

from bench.real import catalog
from bench.runner import cli, rows

_FAKE = """#!/bin/sh
while [ "$1" != --row ]; do shift; done
echo "{\\"row\\":\\"$2\\",\\"ops\\":1000000,\\"wall_s\\":0.1,\\"cpu_s\\":0.1,\\"peak_rss_kb\\":1000}"
"""


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in rows.program_names():
            (self.folder / name).write_text(_FAKE, encoding="utf-8")
            (self.folder / name).chmod(0o755)

    def run_cli(self, *args):
        """Exit status, stdout and stderr of tools/bench."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = cli.main(args, self.folder)
            except SystemExit as end:
                status = end.code
        return status, out.getvalue(), err.getvalue()

    def test_run(self):
        out = self.folder / "out"
        status, text, _ = self.run_cli("--programs", str(self.folder), "--peers", "glibc", "--only", "pair",
                                       "--repeat", "2", "--out", str(out))
        self.assertEqual(status, 0)
        self.assertIn("pair_64", text)
        document = json.loads((out / "results.json").read_text(encoding="utf-8"))
        self.assertEqual([len(cell["runs"]) for cell in document["cells"]], [2, 2, 2, 2])

    def test_errors_name_what_was_wrong(self):
        for args, status, words in (
                (["--only", "nonesuch"], 2, "nonesuch"),
                (["--only", "pair,nonesuch,real"], 2, "no row matches 'nonesuch'"),
                (["--only", ""], 2, "--list"),
                (["--peers", "nonesuch"], 2, "nonesuch"),
                (["--lib", "x"], 2, "'x' is not NAME=PATH"),
                (["--lib", "x=/nonexistent.so"], 1, "/nonexistent.so"),
                (["--repeat", "0"], 2, "'0' is not"),
                (["--programs", "/nonexistent", "--peers", "glibc"], 1, "no such program"),
                (["--programs", str(self.folder), "--peers", ""], 2, "nothing to measure"),
                (["--quick", "--full"], 2, "not allowed")):
            with self.subTest(args):
                found, _, errors = self.run_cli(*args)
                self.assertEqual(found, status)
                self.assertIn(words, errors)

    def test_real_programs_are_for_full_runs_and_for_who_names_them(self):
        def names(pattern, is_full):
            return {row.name for row in cli._select_rows(pattern, is_full)}

        real, micro = {row.name for row in catalog.ROWS}, {row.name for row in rows.ROWS}
        self.assertEqual(names(None, False), {row.name for row in rows.QUICK_ROWS})
        self.assertEqual(names(None, True), micro | real)
        self.assertEqual(names("real", False), real)
        self.assertEqual(names("redis*,pair_16", False), {"redis_set", "redis_get", "redis_lrange", "pair_16"})

    def test_names_of_rows_are_unique(self):
        names = [row.name for row in (*rows.ROWS, *catalog.ROWS)]
        self.assertEqual(len(names), len(set(names)))

    def test_list(self):
        status, text, _ = self.run_cli("--list", "--only", "realloc")
        self.assertEqual((status, len(text.splitlines())), (0, 6))


if __name__ == "__main__":
    unittest.main()
