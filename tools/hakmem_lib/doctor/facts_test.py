"""Unit tests of where the facts come from, on files that are made up."""

from __future__ import annotations

import pathlib
import struct
import tempfile
import unittest
from typing import Mapping

from tools.hakmem_lib.doctor import calls, cgroup
from tools.hakmem_lib.doctor.files import Files

MIB = 1024 * 1024
V2_MOUNT = "30 1 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"
V1_MOUNTS = (
    "31 1 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 1 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


class Machine(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            path = self.root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def limits(self) -> cgroup.Limits:
        return cgroup.read(Files(str(self.root)), "self")

    def test_no_groups_at_all(self) -> None:
        self.assertEqual(self.limits(), cgroup.Limits())

    def test_version_2(self) -> None:
        group = "/sys/fs/cgroup/a/b"
        self.write(
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/proc/self/mountinfo": V2_MOUNT,
                f"{group}/memory.max": "max\n",
                f"{group}/memory.high": f"{200 * MIB}\n",
                f"{group}/memory.current": f"{50 * MIB}\n",
                f"{group}/memory.events": "low 0\nhigh 7\nmax 0\noom 1\noom_kill 3\n",
                f"{group}/memory.pressure": "some avg10=1.25 avg60=0.00 avg300=0.00 total=9\nfull avg10=9.00\n",
                f"{group}/cpu.max": "max 100000\n",
                "/sys/fs/cgroup/a/memory.max": f"{100 * MIB}\n",
                "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            }
        )
        limits = self.limits()
        self.assertEqual((limits.version, limits.memory_max, limits.memory_high), (2, 100 * MIB, 200 * MIB))
        self.assertEqual((limits.memory, limits.memory_current, limits.cpus), (100 * MIB, 50 * MIB, 1.5))
        self.assertEqual((limits.oom_kills, limits.over_high, limits.pressure), (3, 7, 1.25))

    def test_version_2_without_limits(self) -> None:
        self.write(
            {
                "/proc/self/cgroup": "0::/\n",
                "/proc/self/mountinfo": V2_MOUNT,
                "/sys/fs/cgroup/memory.current": "1\n",
                "/sys/fs/cgroup/memory.max": "max\n",
            }
        )
        limits = self.limits()
        self.assertEqual((limits.version, limits.memory, limits.cpus, limits.pressure), (2, None, None, None))

    def test_version_1(self) -> None:
        self.write(
            {
                "/proc/self/cgroup": "4:memory:/jobs/x\n3:cpu,cpuacct:/jobs\n0::/\n",
                "/proc/self/mountinfo": V1_MOUNTS + V2_MOUNT.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": f"{64 * MIB}\n",
                "/sys/fs/cgroup/memory/jobs/x/memory.limit_in_bytes": "9223372036854771712\n",
                "/sys/fs/cgroup/memory/jobs/x/memory.usage_in_bytes": "12345\n",
                "/sys/fs/cgroup/memory/jobs/x/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
                "/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "50000\n",
                "/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
                "/proc/pressure/memory": "some avg10=2.50 avg60=0.00 avg300=0.00 total=9\n",
            }
        )
        limits = self.limits()
        self.assertEqual((limits.version, limits.memory_max, limits.memory_current), (1, 64 * MIB, 12345))
        self.assertEqual((limits.cpus, limits.oom_kills, limits.pressure), (0.5, 2, 2.5))

    def test_a_container_that_sees_its_own_group_as_the_root(self) -> None:
        self.write(
            {
                "/proc/self/cgroup": "4:memory:/docker/abc\n",
                "/proc/self/mountinfo": "32 1 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{32 * MIB}\n",
            }
        )
        self.assertEqual(self.limits().memory, 32 * MIB)

    def test_a_container_without_the_files(self) -> None:
        self.write({"/proc/self/cgroup": "0::/x\n", "/proc/self/mountinfo": ""})
        self.assertTrue(self.limits().is_hidden)


def x86_calls(*instructions: bytes, slot: int = 0x3000) -> list[int]:
    """The constants found in code at 0x1000, with a stub for the slot at 0x2000."""
    stub = b"\xf3\x0f\x1e\xfa\xf2\xff\x25" + struct.pack("<i", slot - 0x200B)
    return list(calls.second_arguments("x86-64", [(0x1000, b"".join(instructions)), (0x2000, stub)], [slot]))


class Calls(unittest.TestCase):
    MOV = b"\xbe\x0a\x01\x00\x00"  # mov $0x10a, %esi
    OTHER = b"\x48\x89\xdf"  # mov %rbx, %rdi

    def test_x86_64_through_a_stub(self) -> None:
        call = b"\xe8" + struct.pack("<i", 0x2000 - 0x1000 - 5 - 8)
        self.assertEqual(x86_calls(self.MOV, self.OTHER, call), [0x10A])
        tail = b"\xe9" + call[1:]
        self.assertEqual(x86_calls(self.MOV, self.OTHER, tail), [0x10A])

    def test_x86_64_through_the_slot(self) -> None:
        call = b"\xff\x15" + struct.pack("<i", 0x3000 - 0x1000 - 5 - 6)
        self.assertEqual(x86_calls(self.MOV, call), [0x10A])

    def test_x86_64_of_another_function(self) -> None:
        call = b"\xe8" + struct.pack("<i", 0x2100 - 0x1000 - 5 - 5)
        self.assertEqual(x86_calls(self.MOV, call), [])

    def test_x86_64_without_a_constant(self) -> None:
        call = b"\xe8" + struct.pack("<i", 0x2000 - 0x1000 - 5 - 3)
        self.assertEqual(x86_calls(self.OTHER, call), [])

    def test_aarch64(self) -> None:
        # adrp x16, 0x3000; ldr x17, [x16, #16]; add x16, x16, #16; br x17
        stub = struct.pack("<4I", 0xB0000010, 0xF9400A11, 0x91004210, 0xD61F0220)
        code = struct.pack("<3I", 0x52802141, 0xAA1303E0, 0x94000000 | (0x2000 - 0x1008) // 4)
        sections = [(0x1000, code), (0x2000, stub)]
        self.assertEqual(list(calls.second_arguments("aarch64", sections, [0x3010])), [0x10A])
        self.assertEqual(list(calls.second_arguments("aarch64", sections, [0x3018])), [])

    def test_other_processors_and_no_calls(self) -> None:
        self.assertEqual(list(calls.second_arguments("arm", [(0, b"\xbe" * 64)], [0])), [])
        self.assertEqual(list(calls.second_arguments("x86-64", [(0, b"\xbe" * 64)], [])), [])


if __name__ == "__main__":
    unittest.main()
