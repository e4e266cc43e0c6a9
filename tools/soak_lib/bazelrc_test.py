"""Configurations and their environment."""

import unittest

from soak_lib import bazelrc

TEXT = """\
build:clang --repo_env=CC=clang
build:address --copt=-fsanitize=address
test:address --test_env=ASAN_OPTIONS=detect_leaks=0:abort_on_error=0
build:asan --config=address --platform_suffix=-asan
test:tsan --test_env=TSAN_OPTIONS=halt_on_error=1
build:tsan --copt=-fsanitize=thread
"""


class BazelrcTest(unittest.TestCase):
    def test_environment_comes_with_included_configurations(self) -> None:
        self.assertEqual(bazelrc.environment(TEXT, "asan"), {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0"})

    def test_environment_of_others_stays_away(self) -> None:
        self.assertEqual(bazelrc.environment(TEXT, "clang"), {})
        self.assertEqual(bazelrc.environment(TEXT, "clang+tsan"), {"TSAN_OPTIONS": "halt_on_error=1"})

    def test_unknown_part_is_named(self) -> None:
        self.assertEqual(bazelrc.unknown_parts(TEXT, "clang+msan"), ["msan"])
        self.assertEqual(bazelrc.unknown_parts(TEXT, "default"), [])

    def test_default_is_no_option(self) -> None:
        self.assertEqual(bazelrc.options("default"), [])
        self.assertEqual(bazelrc.options("clang+tsan"), ["--config=clang", "--config=tsan"])


if __name__ == "__main__":
    unittest.main()
