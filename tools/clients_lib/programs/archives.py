"""tar, xz, gzip, zstd: pack, test, unpack."""

from __future__ import annotations

import pathlib

from clients_lib import inputs as shared
from clients_lib.client import Client, register
from clients_lib.session import Session


@register
class Tar(Client):
    """Few bytes of heap a file, but all of them at once."""

    name = "tar"
    summary = "20,000 files packed deterministically, listed, compared, unpacked and packed again."
    programs = {"tar": "tar"}

    def prepare(self, inputs: pathlib.Path) -> None:
        shared.tree(inputs / "tree", 20000, 3000)

    def run(self, session: Session) -> None:
        same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"]
        first, again = session.work / "first.tar", session.work / "again.tar"
        session.step("create", ["tar", *same, "-C", session.inputs, "-cf", first, "tree"])
        session.observe_file("create: archive", first)
        session.step("list", ["tar", "-tvf", first])
        session.step("extract", ["tar", "-C", session.work, "-xf", first])
        session.step("create again", ["tar", *same, "-C", session.work, "-cf", again, "tree"])
        session.observe_file("create again: archive", again)


class _Packer(Client):
    """Base: a compressor over a file of text and back."""

    pack: list[str]
    unpack: list[str]
    size_bytes: int

    def prepare(self, inputs: pathlib.Path) -> None:
        (inputs / "text").write_bytes(shared.text(3, self.size_bytes))

    def run(self, session: Session) -> None:
        packed, back = session.work / "packed", session.work / "back"
        session.step("pack", [*self.pack], stdin=session.inputs / "text", stdout_to=packed)
        session.observe_file("pack: file", packed)
        session.step("unpack", [*self.unpack], stdin=packed, stdout_to=back)
        session.observe_file("unpack: file", back)
        session.observe("unpack: the same as before", str(_same(session.inputs / "text", back)).encode())


def _same(one: pathlib.Path, other: pathlib.Path) -> bool:
    return one.read_bytes() == other.read_bytes()


@register
class Xz(_Packer):
    """Threads, and buffers of tens of megabytes."""

    name = "xz"
    summary = "`xz -T2 -5` of 16 MiB of text in blocks of 4 MiB, and back."
    programs = {"xz": "xz-utils"}
    pack = ["xz", "-T2", "-5", "--block-size=4MiB", "-c"]
    unpack = ["xz", "-T2", "-dc"]
    size_bytes = 16 << 20


@register
class Gzip(_Packer):
    """Hardly any heap at all: what a preloaded allocator costs a program that does not need one."""

    name = "gzip"
    note = (
        "of 1.7 MiB; the kernel counts RSS in batches of pages for each processor, so that a peak is off by up to "
        "a quarter MiB"
    )
    summary = "`gzip -9n` of 40 MiB of text, and back."
    programs = {"gzip": "gzip"}
    pack = ["gzip", "-9nc"]
    unpack = ["gzip", "-dc"]
    size_bytes = 40 << 20


@register
class Zstd(_Packer):
    """Threads with large contexts of their own."""

    name = "zstd"
    summary = "`zstd -T2 -12` of 64 MiB of text, and back."
    programs = {"zstd": "zstd"}
    pack = ["zstd", "-q", "-T2", "-12", "-c"]
    unpack = ["zstd", "-q", "-dc"]
    size_bytes = 64 << 20
