"""What HAKMEM says of itself, in real programs: against what the kernel says, and read by those who are to read it."""

import json
import pathlib
import re
import shutil
import unittest

from hakmem.testing.harness import process

PAGE = pathlib.Path("docs/inside.md")
MANUAL = pathlib.Path("docs/man/hakmem.3")
HEADER = pathlib.Path("hakmem/include/hakmem/hakmem.h")
SCRIPT = pathlib.Path("hakmem/testing/preload/statistics_script.py")
PYTHON = "/usr/bin/python3"


def run_script(case: str, env: dict[str, str] | None = None) -> str:
    """Runs a case of the script in a Python whose every block is of malloc."""
    outcome = process.run(
        PYTHON, str(SCRIPT.absolute()), case, preload=[process.LIBRARY], env={"PYTHONMALLOC": "malloc", **(env or {})}
    )
    if outcome.status != 0 or outcome.stderr:
        raise AssertionError(str(outcome))
    return outcome.stdout


@process.not_on_musl("the machine's Python is no program of musl's")
@process.not_emulated("the machine's Python is a program of this processor")
@unittest.skipUnless(shutil.which(PYTHON), "no " + PYTHON)
class Statistics(unittest.TestCase):
    def test_figures_fit_what_the_kernel_says(self) -> None:
        """Within 2 %: the process as a whole, and HAKMEM's part against the mappings that have no name."""
        said = json.loads(run_script("reconcile"))
        stats, smaps = said["stats"], said["smaps"]
        self.assertGreater(stats["live_bytes"], 100 << 20)
        self.assertEqual(
            stats["mapped_bytes"],
            stats["live_bytes"] + stats["cached_bytes"] + stats["slack_bytes"] + stats["free_bytes"],
        )
        self.assertLess(abs(stats["rss_bytes"] - smaps["rss"]), smaps["rss"] * 0.02, said)
        self.assertLess(abs(stats["resident_bytes"] - smaps["unnamed"]), smaps["unnamed"] * 0.02, said)
        self.assertEqual(stats["other_rss_bytes"], stats["rss_bytes"] - stats["resident_bytes"])
        self.assertGreater(stats["refills"], 1000)
        # The script takes the text in pieces, and allocates meanwhile.
        self.assertAlmostEqual(sum(row["refills"] for row in said["classes"]), stats["refills"], delta=200)

    def test_rounding(self) -> None:
        """Known where a profile samples, and bound where none does."""
        truth = 2000 * (65536 - 40000)
        unknown = json.loads(run_script("rounding"))
        self.assertEqual((unknown["rounding_bytes"], unknown["rounding_samples"]), (0, 0))
        self.assertGreater(unknown["rounding_max_bytes"], truth)
        known = json.loads(run_script("rounding", {"HAKMEM_PROFILE": "1", "HAKMEM_PROFILE_BYTES": "128k"}))
        self.assertGreater(known["rounding_samples"], 300)
        self.assertLess(known["rounding_samples"], 900, "one in four")
        self.assertAlmostEqual(known["rounding_bytes"] / truth, 1, delta=0.1)
        self.assertLess(known["rounding_bytes"], known["rounding_max_bytes"])

    def test_an_openmetrics_parser_reads_the_text(self) -> None:
        try:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families
        except ImportError:
            self.skipTest("python3-prometheus-client is not there")
        text = run_script("openmetrics")
        families = {family.name: family for family in text_string_to_metric_families(text)}
        self.assertEqual(families["hakmem_live_bytes"].type, "gauge")
        self.assertGreater(families["hakmem_live_bytes"].samples[0].value, 1 << 20)
        stages = {sample.labels["stage"] for sample in families["hakmem_acquires"].samples}
        self.assertEqual(stages, {"orphan", "units", "empty", "new"})
        causes = {sample.labels["cause"] for sample in families["hakmem_slow_path_seconds"].samples}
        self.assertLessEqual({"refill", "acquire", "map", "lock"}, causes)
        classes = {sample.labels["block_bytes"] for sample in families["hakmem_class_live_blocks"].samples}
        self.assertIn("64", classes)
        spills = families["hakmem_class_spills"]
        self.assertEqual((spills.type, len(spills.samples)), ("counter", len(classes)))
        kinds = {sample.labels["kind"] for sample in families["hakmem_misuse"].samples}
        self.assertEqual(kinds, {"double_free", "interior", "foreign", "wrong_size"})

    def test_names(self) -> None:
        said = json.loads(run_script("names"))
        self.assertEqual(said["live"], [0, said["live"][1]])
        self.assertGreaterEqual(said["live"][1], 5000)
        self.assertEqual(said["option"], "321")
        self.assertEqual(said["unknown"], 2)

    def test_the_page_lists_every_name(self) -> None:
        lines = run_script("list").splitlines(keepends=True)
        names = "".join(line for line in lines if not line.startswith("options."))
        self.assertIn("\n```\n" + names + "```\n", PAGE.read_text(encoding="utf-8"))
        self.assertIn("options.decay_ms rw text As hakmem.conf(5) has it.\n", lines)

    def test_a_fork_amid_a_look(self) -> None:
        """The lock of the figures is free in the child, whatever a thread of the parent was doing."""
        self.assertEqual(run_script("forks"), "ok\n")


class Manual(unittest.TestCase):
    """hakmem(3) names every function of the public header, and no other."""

    def test_functions(self) -> None:
        declared = set(re.findall(r"\b(hak_[a-z_]+)\(", re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)))
        manual = MANUAL.read_text(encoding="utf-8")
        synopsis = manual[manual.index(".SH SYNOPSIS") : manual.index(".SH DESCRIPTION")]
        description = manual[manual.index(".SH DESCRIPTION") :]
        self.assertGreater(len(declared), 25)
        self.assertEqual(set(re.findall(r"\b(hak_[a-z_]+)\(", synopsis)), declared)
        for name in declared:
            self.assertIn(name, description)


if __name__ == "__main__":
    unittest.main()
