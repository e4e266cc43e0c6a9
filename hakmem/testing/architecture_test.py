"""The architecture's rules over the sources as they are; first, over sources that break each of them."""

import unittest
from pathlib import Path

from hakmem.testing import architecture
from hakmem.testing.architecture import Source

_LAYERS = {"base": 0, "os": 1, "slab": 3, "heap": 4, "gate": 10, "testing": 11}

_HEADER = """/* Purpose: a box.
 * Owns: nothing.  Invariants:
 *   1. None.
 * Threads: any.  Cost: none.  Fails: never.  Fork, signals: nothing to do. */
#ifndef HAKMEM_HEAP_HEAP_H_
#define HAKMEM_HEAP_HEAP_H_
#include <stdint.h>
#include "hakmem/base/base.h"
#ifdef __cplusplus
extern "C" {
#endif
#endif /* HAKMEM_HEAP_HEAP_H_ */
"""


def _found(path, text):
    return architecture.source_findings(Source(path, text), _LAYERS)


class FixtureTest(unittest.TestCase):
    def assert_finding(self, path, text, words):
        findings = _found(path, text)
        self.assertEqual(len(findings), 1, findings)
        self.assertTrue(findings[0].startswith(path), findings[0])
        self.assertIn(words, findings[0])

    def test_nothing_to_find(self):
        self.assertEqual(_found("hakmem/heap/heap.h", _HEADER), [])
        self.assertEqual(_found("hakmem/heap/heap.c", '#include "hakmem/heap/heap.h"\n#include "hakmem/slab/slab.h"\n'), [])
        self.assertEqual(_found("hakmem/heap/heap_test.cc", '#include "gtest/gtest.h"\n#include "hakmem/heap/heap.h"\n'), [])
        self.assertEqual(_found("hakmem/heap/heap.c", "#include <hakmem/hakmem.h>\n"), [])


class IncludeTest(FixtureTest):
    def test_upwards(self):
        self.assert_finding("hakmem/slab/slab.c", '\n#include "hakmem/heap/heap.h"\n',
                            ":2: slab (layer 3) includes hakmem/heap/heap.h, of layer 4")
        self.assert_finding("hakmem/slab/slab_test.cc", '#include "hakmem/heap/heap.h"', "of layer 4")
        self.assert_finding("hakmem/slab/slab.c", '#  include"hakmem/gate/gate.h"', "of layer 10")

    def test_sideways(self):
        self.assertEqual(architecture.source_findings(
            Source("hakmem/a/a.c", '#include "hakmem/b/b.h"'), {"a": 3, "b": 3}),
            ["hakmem/a/a.c:1: a (layer 3) includes hakmem/b/b.h, of layer 3"])

    def test_private_headers(self):
        self.assertEqual(_found("hakmem/slab/slab.c", '#include "hakmem/slab/slab_inl.h"'), [])
        self.assert_finding("hakmem/heap/heap.c", '#include "hakmem/slab/slab_inl.h"', "private to slab")
        self.assert_finding("hakmem/testing/any_test.cc", '#include "hakmem/gate/gate_inl.h"', "private to gate")

    def test_names(self):
        self.assert_finding("hakmem/heap/heap.c", '#include "heap.h"', "from the root of the repository")
        self.assert_finding("hakmem/heap/heap.c", '#include "hakmem/nonesuch/a.h"', "no box of LAYERS")
        self.assert_finding("hakmem/heap/heap.c", '#include "hakmem/hakmem.h"', "no box of LAYERS")

    def test_comments_and_strings_are_no_includes(self):
        self.assertEqual(_found("hakmem/slab/slab.c", '/* \n#include "hakmem/gate/gate.h"\n*/ // #if 1\n'), [])
        self.assert_finding("hakmem/slab/slab.c", 'char* s = "/*";\n#include "hakmem/gate/gate.h"\n', ":2: ")


class ConditionalTest(FixtureTest):
    def test_if_outside_its_places(self):
        for line in ("#if HAK_X", "#ifdef __linux__", "  # ifndef NDEBUG", "#elif 1", "#if defined(__cplusplus)"):
            self.assert_finding("hakmem/slab/slab.c", "int a;\n%s\n#endif\n" % line, ":2: #")
            self.assertEqual(_found("hakmem/os/os.c", "int a;\n%s\n#endif\n" % line), [])
            self.assertEqual(_found("hakmem/gate/override.c", "int a;\n%s\n#endif\n" % line), [])
        self.assert_finding("hakmem/gate/gate.c", "#if 1\n", ":1: #if 1")

    def test_only_a_guard_is_a_guard(self):
        self.assertEqual(_found("hakmem/slab/a_inl.h", "/* a */\n#ifndef A_H_\n#define A_H_\n#endif\n"), [])
        self.assert_finding("hakmem/slab/a_inl.h", "#ifndef A_H_\n#define B_H_\n#endif\n", "#ifndef A_H_")
        self.assert_finding("hakmem/slab/a_inl.h", "int a;\n#ifndef A_H_\n#define A_H_\n#endif\n", ":2: ")


class HeaderTest(FixtureTest):
    def test_each_word_is_missed(self):
        for word in architecture.HEADER_WORDS:
            self.assert_finding("hakmem/heap/heap.h", _HEADER.replace(word, "Other"), "no " + word)
            self.assertEqual(_found("hakmem/heap/heap_inl.h", _HEADER.replace(word, "Other")), [])

    def test_the_comment_comes_first(self):
        self.assert_finding("hakmem/heap/heap.h", "#define A\n" + _HEADER.replace("#ifndef HAKMEM_HEAP_HEAP_H_\n", "")
                            .replace("#endif /*", "/*"), "does not open with a comment")


class PublicHeaderTest(FixtureTest):
    def test_standard_headers_only(self):
        public = architecture.PUBLIC_HEADER
        self.assertEqual(_found(public, "#ifndef H_\n#define H_\n#include <stddef.h>\n#ifdef __cplusplus\n"), [])
        for name in ("<stdlib.h>", '"stddef.h"', '"hakmem/base/base.h"', "<sys/types.h>", "NAME"):
            self.assert_finding(public, "#include %s\n" % name, "the public header includes " + name)
        self.assert_finding(public, "#if 1\n", "#if 1")


class WholeTest(unittest.TestCase):
    def test_layers_are_read(self):
        self.assertEqual(architecture.parse_layers('A = 1\nLAYERS = {\n    "base": 0,\n    "os": 1,\n}\nB = {}\n'),
                         {"base": 0, "os": 1})
        with self.assertRaises(ValueError):
            architecture.parse_layers("LAYER = {}\n")

    def test_missing_boxes_and_stray_files(self):
        sources = [Source("hakmem/base/base.h", _HEADER.replace('#include "hakmem/base/base.h"\n', "")
                          .replace("HEAP", "BASE")), Source("hakmem/stray/a.c", ""), Source("hakmem/b.c", "")]
        self.assertEqual(architecture.findings(sources, {"base": 0, "os": 1, "testing": 9}), [
            "hakmem/stray/a.c: belongs to no box of LAYERS", "hakmem/b.c: belongs to no box of LAYERS",
            "tools/bazel/defs.bzl: a box of LAYERS without hakmem/os/os.h", "no " + architecture.PUBLIC_HEADER])

    def test_the_sources_break_no_rule(self):
        sources = architecture.read_sources(Path("."))
        self.assertGreater(len(sources), 50)
        found = architecture.findings(sources, architecture.parse_layers(architecture.BUILD_RULES.read_text()))
        self.assertEqual(found, [], "\n".join(found))

    def test_turning_a_layer_round_would_be_noticed(self):
        layers = architecture.parse_layers(architecture.BUILD_RULES.read_text())
        layers["base"] = layers["gate"]
        found = architecture.findings(architecture.read_sources(Path(".")), layers)
        self.assertGreater(len(found), 20)


if __name__ == "__main__":
    unittest.main()
