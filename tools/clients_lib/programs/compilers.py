"""gcc and clang: our own sources and a C++ file heavy in templates."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

from clients_lib import launch
from clients_lib.client import WORKLOADS, Client, register
from clients_lib.preload import REPOSITORY
from clients_lib.session import Session

# What tools/bazel/defs.bzl defines in a release build.
_OUR_SETTINGS = ["-DHAK_CONFIG_LEVEL=0", "-DHAK_CONFIG_SANITIZE_ADDRESS=0", "-DHAK_CONFIG_SANITIZE_THREAD=0"]
_OURS_AT_MOST = 40


def our_flags(root: pathlib.Path) -> list[str]:
    """Options for a source of the tree below `root`."""
    return ["-std=gnu11", "-O2", "-g", "-fPIC", *_OUR_SETTINGS, f"-I{root}", f"-I{root}/hakmem/include"]


def snapshot(root: pathlib.Path) -> None:
    """Copies HAKMEM's C sources and headers below `root`: an edit between two runs must not show as a difference."""
    for source in sorted((REPOSITORY / "hakmem").rglob("*.[ch]")):
        copy = root / source.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def accepted_sources(compiler: str, root: pathlib.Path) -> list[pathlib.Path]:
    """The C files below `root` that this compiler accepts outside the build."""
    accepted = []
    for source in sorted((root / "hakmem").rglob("*.c"))[:_OURS_AT_MOST]:
        done = subprocess.run(
            [compiler, *our_flags(root), "-fsyntax-only", str(source)],
            env={"PATH": launch.PATH},
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            accepted.append(source)
    return accepted


def generated_c(functions: int) -> str:
    """A C file with many functions that an optimiser has to look at."""
    parts = ["#include <stdint.h>\n#include <stdio.h>\n"]
    for i in range(functions):
        cases = "".join(f"    case {c}: x = x * {2 * c + i + 1}u ^ (y >> {c % 31}); break;\n" for c in range(12))
        parts.append(
            f"static uint32_t f{i}(uint32_t x, uint32_t y) {{\n"
            f"  for (uint32_t i = 0; i < (y & 7u); i++) switch ((x + i) % 12u) {{\n{cases}  }}\n"
            f"  return x + y * {i}u;\n}}\n"
        )
    calls = "".join(f"  h = f{i}(h, h >> {i % 13});\n" for i in range(functions))
    return "".join(parts) + f"int main(void) {{\n  uint32_t h = 1;\n{calls}" + '  printf("%u\\n", h);\n}\n'


def compile_one(session: Session, label: str, compiler: list[str], source: pathlib.Path) -> pathlib.Path:
    """Compiles one source in a step of its own; returns its object file, which is to be equal too."""
    target = session.work / "out.o"
    target.unlink(missing_ok=True)
    session.step(label, [*compiler, "-c", source, "-o", target])
    session.observe_file(f"{label}: object file", target)
    return target


class Compiler(Client):
    """Base: one compiler for C and C++."""

    c: str
    cxx: str

    def prepare(self, inputs: pathlib.Path) -> None:
        (inputs / "generated.c").write_text(generated_c(120))
        snapshot(inputs)
        self._ours = accepted_sources(self.c, inputs)

    def run(self, session: Session) -> None:
        for source in self._ours:
            label = str(source.relative_to(session.inputs))
            compile_one(session, label, [self.c, *our_flags(session.inputs)], source)
        compile_one(session, "generated.c", [self.c, "-O2", "-g"], session.inputs / "generated.c")
        templates = compile_one(
            session, "templates.cc", [self.cxx, "-std=c++17", "-O2", "-g"], WORKLOADS / "templates.cc"
        )
        linked = session.work / "templates"
        session.step("link", [self.cxx, "-o", linked, templates])
        session.observe_file("link: program", linked)
        session.step("run what was compiled", [linked])


@register
class Gcc(Compiler):
    """Driver, cc1, cc1plus, as, collect2, ld."""

    name = "gcc"
    summary = "The C files of HAKMEM, a generated C file, a C++ file of templates; object files and program compared."
    programs = {"gcc": "gcc libc6-dev", "g++": "g++"}
    c = "gcc"
    cxx = "g++"


@register
class Clang(Compiler):
    """The same on LLVM: a large C++ program that uses operator new throughout."""

    name = "clang"
    summary = Gcc.summary
    programs = {"clang": "clang libc6-dev", "clang++": "clang libstdc++-12-dev"}
    c = "clang"
    cxx = "clang++"
