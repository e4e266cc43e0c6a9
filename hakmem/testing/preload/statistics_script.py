"""Run by statistics_test.py in a Python that has libhakmem.so preloaded: what the library's functions say."""

import ctypes
import json
import os
import re
import sys
import threading

LIBRARY = ctypes.CDLL(None)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
HEADER = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ (\d+) *(.*)$")


def text_of(function_name: str) -> str:
    """What hak_stats_json and its like write."""
    pieces: list[bytes] = []
    write = WRITE(lambda _context, text, length: pieces.append(ctypes.string_at(text, length)))
    getattr(LIBRARY, function_name)(write, None)
    return b"".join(pieces).decode()


def control(name: str, text: bytes | None = None) -> tuple[int, int]:
    """Error and number of hak_ctl; writes a text, or nothing."""
    value, size = ctypes.c_uint64(), ctypes.c_size_t(8)
    old, old_size = (None, None) if text else (ctypes.byref(value), ctypes.byref(size))
    return LIBRARY.hak_ctl(name.encode(), old, old_size, text, ctypes.c_size_t(len(text) + 1 if text else 0)), value.value


def resident() -> dict[str, int]:
    """Bytes of /proc/self/smaps: of all, and of private mappings that have no name and are no file's."""
    sums = {"rss": 0, "unnamed": 0}
    unnamed = False
    with open("/proc/self/smaps", encoding="ascii") as smaps:
        for line in smaps:
            header = HEADER.match(line)
            if header:
                unnamed = header.group(1) == "0" and header.group(2) == ""
            elif line.startswith("Rss:"):
                rss = int(line.split()[1]) * 1024
                sums["rss"] += rss
                sums["unnamed"] += rss if unnamed else 0
    return sums


def reconcile() -> None:
    kept = [bytes(100 + i % 5000) for i in range(60000)]
    large = [bytearray(5_000_000) for _ in range(10)]
    for block in large:
        block[:] = b"x" * len(block)
    del kept[::3]
    said = json.loads(text_of("hak_stats_json"))
    print(json.dumps({"stats": said["stats"], "classes": said["classes"], "smaps": resident()}))


def openmetrics() -> None:
    number = ctypes.c_uint64(1)
    LIBRARY.hak_ctl(b"latency.enabled", None, None, ctypes.byref(number), ctypes.c_size_t(8))
    kept = [bytes(10 + i % 5000) for i in range(20000)]
    print(text_of("hak_stats_openmetrics"), end="")
    assert kept


def names() -> None:
    LIBRARY.malloc.restype = ctypes.c_void_p
    blocks = [LIBRARY.malloc(ctypes.c_size_t(900)) for _ in range(5000)]
    assert all(blocks)
    live = control("stats.bins.1024.live")
    assert control("options.decay_ms", b"321")[0] == 0
    out, size = ctypes.create_string_buffer(100), ctypes.c_size_t(100)
    assert LIBRARY.hak_ctl(b"options.decay_ms", out, ctypes.byref(size), None, ctypes.c_size_t(0)) == 0
    print(json.dumps({"live": live, "option": out.value.decode(), "unknown": control("stats.no_such")[0]}))


def rounding() -> None:
    """Blocks for 40,000 bytes are of 64 KiB, and far more than all else."""
    LIBRARY.malloc.restype = ctypes.c_void_p
    blocks = [LIBRARY.malloc(ctypes.c_size_t(40000)) for _ in range(2000)]
    assert all(blocks)
    stats = json.loads(text_of("hak_stats_json"))["stats"]
    print(json.dumps({name: count for name, count in stats.items() if name.startswith("rounding")}))


def list_names() -> None:
    print(text_of("hak_ctl_names"), end="")


def forks() -> None:
    ended = threading.Event()

    def look() -> None:
        number = ctypes.c_uint64(1)
        while not ended.is_set():
            LIBRARY.hak_ctl(b"epoch", None, None, ctypes.byref(number), ctypes.c_size_t(8))

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(50):
        child = os.fork()
        if child == 0:
            os._exit(control("stats.live_bytes")[0])
        assert os.waitpid(child, 0)[1] == 0
    ended.set()
    thread.join()
    print("ok")


{"reconcile": reconcile, "openmetrics": openmetrics, "names": names, "rounding": rounding, "forks": forks, "list": list_names}[sys.argv[1]]()
