"""Tests of pprof's format: what is written is decoded by protobuf's own parser, field by field."""

from __future__ import annotations

import gzip
import unittest

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tools.hakmem_lib.memory import Mapping
from tools.hakmem_lib.profile import pprof
from tools.hakmem_lib.profile.data import Profile, Site, Sum
from tools.hakmem_lib.profile.symbols import Line, Place
from tools.hakmem_lib.profile.views import VIEWS

# profile.proto, as github.com/google/pprof has it: message -> field -> number, type, and whether it is repeated.
_SCHEMA = {
    "ValueType": {"type": (1, "int64", False), "unit": (2, "int64", False)},
    "Label": {"key": (1, "int64", False), "str": (2, "int64", False), "num": (3, "int64", False), "num_unit": (4, "int64", False)},
    "Sample": {"location_id": (1, "uint64", True), "value": (2, "int64", True), "label": (3, "Label", True)},
    "Mapping": {
        "id": (1, "uint64", False), "memory_start": (2, "uint64", False), "memory_limit": (3, "uint64", False),
        "file_offset": (4, "uint64", False), "filename": (5, "int64", False), "build_id": (6, "int64", False),
        "has_functions": (7, "bool", False), "has_filenames": (8, "bool", False), "has_line_numbers": (9, "bool", False),
        "has_inline_frames": (10, "bool", False),
    },
    "Line": {"function_id": (1, "uint64", False), "line": (2, "int64", False)},
    "Location": {
        "id": (1, "uint64", False), "mapping_id": (2, "uint64", False), "address": (3, "uint64", False),
        "line": (4, "Line", True), "is_folded": (5, "bool", False),
    },
    "Function": {
        "id": (1, "uint64", False), "name": (2, "int64", False), "system_name": (3, "int64", False),
        "filename": (4, "int64", False), "start_line": (5, "int64", False),
    },
    "Profile": {
        "sample_type": (1, "ValueType", True), "sample": (2, "Sample", True), "mapping": (3, "Mapping", True),
        "location": (4, "Location", True), "function": (5, "Function", True), "string_table": (6, "string", True),
        "drop_frames": (7, "int64", False), "keep_frames": (8, "int64", False), "time_nanos": (9, "int64", False),
        "duration_nanos": (10, "int64", False), "period_type": (11, "ValueType", False), "period": (12, "int64", False),
        "comment": (13, "int64", True), "default_sample_type": (14, "int64", False),
    },
}  # fmt: skip
_TYPES = {"int64": 3, "uint64": 4, "bool": 8, "string": 9}


def message_class():  # type: ignore[no-untyped-def]
    """perftools.profiles.Profile."""
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="perftools.profiles", syntax="proto3")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            row = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in _TYPES:
                row.type = _TYPES[kind]
            else:
                row.type, row.type_name = 11, f".perftools.profiles.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("perftools.profiles.Profile")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def parse(compressed: bytes):  # type: ignore[no-untyped-def]
    """The message of a file. What the schema does not have is an error."""
    kind = message_class()
    message = kind()
    message.ParseFromString(gzip.decompress(compressed))
    again = kind()
    again.CopyFrom(message)
    again.DiscardUnknownFields()
    if again.SerializeToString() != message.SerializeToString():
        raise AssertionError("fields that profile.proto does not have")
    return message


_CODE = Mapping(0x1000, 0x5000, "r-xp", 0x1000, "/usr/bin/thing")


class _Symbols:
    """Knows three addresses, one of them with an inlined call."""

    _LINES = {
        0x1100: (Line("inner", "a.c", 7), Line("outer", "a.c", 70)),
        0x1200: (Line("main", "b.c", 9),),
        0x9000: (Line("[code at 0x9000]"),),
    }

    def stack(self, frames):  # type: ignore[no-untyped-def]
        return [Place(at, _CODE if at < 0x5000 else None, self._LINES[at]) for at in frames]


def _profile() -> Profile:
    def site(*frames: int) -> Site:
        return Site(frames, Sum(), Sum(), Sum(), 1, 0, 0)

    sites = [site(0x1100, 0x1200), site(0x9000, 0x1200), site(0x1200)]
    return Profile(77, 4096, 1000, 3500, sites, [], [], 0, [_CODE], "thing")


class Encode(unittest.TestCase):
    def setUp(self) -> None:
        by_view = {view.name: {} for view in VIEWS}
        by_view["live"] = {0: Sum(12.4, 1 << 40), 1: Sum(300, 5)}
        by_view["leak"] = {0: Sum(1, 99)}
        self.message = pprof.encode(_profile(), _Symbols(), by_view, 123456789)  # type: ignore[arg-type]
        self.read = parse(pprof.compress(self.message))

    def text(self, index: int) -> str:
        return self.read.string_table[index]

    def test_string_table_begins_with_nothing_and_has_each_once(self) -> None:
        self.assertEqual(self.read.string_table[0], "")
        self.assertEqual(len(set(self.read.string_table)), len(self.read.string_table))

    def test_columns(self) -> None:
        types = [(self.text(kind.type), self.text(kind.unit)) for kind in self.read.sample_type]
        self.assertEqual(types[:2], [("inuse_objects", "count"), ("inuse_space", "bytes")])
        self.assertEqual(len(types), 2 * len(VIEWS))
        self.assertEqual({unit for _, unit in types[1::2]}, {"bytes"})
        self.assertEqual(self.text(self.read.default_sample_type), "inuse_space")

    def test_samples_have_a_value_for_each_column_and_sites_of_nothing_are_left_out(self) -> None:
        self.assertEqual(len(self.read.sample), 2)
        for sample in self.read.sample:
            self.assertEqual(len(sample.value), len(self.read.sample_type))
        self.assertEqual(list(self.read.sample[0].value[:6]), [12, 1 << 40, 0, 0, 1, 99])
        self.assertEqual(list(self.read.sample[1].value[:2]), [300, 5])

    def test_locations_lead_to_functions_and_lines(self) -> None:
        locations = {location.id: location for location in self.read.location}
        functions = {function.id: function for function in self.read.function}
        self.assertEqual(sorted(locations), [1, 2, 3])
        stack = [locations[index] for index in self.read.sample[0].location_id]
        self.assertEqual([location.address for location in stack], [0x1100, 0x1200])
        lines = [(self.text(functions[line.function_id].name), line.line) for line in stack[0].line]
        self.assertEqual(lines, [("inner", 7), ("outer", 70)], "the innermost first")
        main = functions[stack[1].line[0].function_id]
        self.assertEqual(self.text(main.name), "main")
        self.assertEqual(self.text(main.system_name), "main")
        self.assertEqual(self.text(main.filename), "b.c")
        self.assertEqual(self.read.sample[1].location_id[1], self.read.sample[0].location_id[1], "each once")

    def test_mappings(self) -> None:
        (mapping,) = self.read.mapping
        self.assertEqual(mapping.id, 1)
        self.assertEqual((mapping.memory_start, mapping.memory_limit, mapping.file_offset), (0x1000, 0x5000, 0x1000))
        self.assertEqual(self.text(mapping.filename), "/usr/bin/thing")
        self.assertTrue(mapping.has_functions and mapping.has_filenames and mapping.has_line_numbers)
        without = [location for location in self.read.location if location.address == 0x9000]
        self.assertEqual(without[0].mapping_id, 0)

    def test_times_and_period(self) -> None:
        self.assertEqual(self.read.time_nanos, 123456789)
        self.assertEqual(self.read.duration_nanos, 2_500_000_000)
        self.assertEqual(self.read.period, 4096)
        self.assertEqual((self.text(self.read.period_type.type), self.text(self.read.period_type.unit)), ("space", "bytes"))
        self.assertIn("4096 bytes", self.text(self.read.comment[0]))

    def test_the_same_profile_makes_the_same_bytes(self) -> None:
        self.assertEqual(pprof.compress(self.message), pprof.compress(self.message))


if __name__ == "__main__":
    unittest.main()
