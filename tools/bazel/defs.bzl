"""The build rules of HAKMEM: how a box is compiled, who may see it, how it is linked and tested.

Boxes use hak_box and hak_box_test. Code outside hakmem/ (fuzz, stress, bench, tools) uses
hak_cc_library, hak_cc_binary and hak_cc_test, which compile the same way but carry no layer.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

# The architecture. A box may depend on boxes of strictly lower layers only: hak_box makes each box
# visible to the layers above it and to nobody else.
LAYERS = {
    "base": 0,
    "config": 1,
    "os": 1,
    "size_class": 1,
    "limits": 2,
    "metadata": 2,
    "registry": 2,
    "growth": 3,
    "mid_ace": 3,
    "slab": 3,
    "surplus": 3,
    "zeroing": 3,
    "heap": 4,
    "instrument": 5,
    "remote_free": 5,
    "recorder": 6,
    "shared_pool": 6,
    "sites": 6,
    "whale_cache": 6,
    "profile": 7,
    "purge": 7,
    "warm_pool": 7,
    "postmortem": 8,
    "report": 8,
    "unified_cache": 8,
    "view": 8,
    "background": 9,
    "ctl": 9,
    "hot_box": 9,
    "lifecycle": 10,
    "idle": 11,
    "gate": 12,
    "testing": 13,
}

# Stand above every layer: the package that assembles the boxes, and those that test them as a whole.
_ABOVE_ALL_LAYERS = [
    "//fuzz/...",
    "//hakmem",
    "//stress/...",
]

# For target_compatible_with: `bazel test //...` skips the target in the named kinds of build.
NO_SANITIZERS = select({
    "//platforms:any_sanitizer": ["@platforms//:incompatible"],
    "//conditions:default": [],
})

ONLY_RELEASE = select({
    "//platforms:not_release": ["@platforms//:incompatible"],
    "//conditions:default": [],
})

NO_SANITIZERS_NOR_COVERAGE = select({
    "//platforms:any_sanitizer": ["@platforms//:incompatible"],
    "//platforms:coverage": ["@platforms//:incompatible"],
    "//conditions:default": [],
})

ONLY_ASAN = select({
    "//platforms:asan": [],
    "//conditions:default": ["@platforms//:incompatible"],
})

ONLY_FUZZ = select({
    "//platforms:fuzz": [],
    "//conditions:default": ["@platforms//:incompatible"],
})

# Where a test needs what only glibc has.
ONLY_GLIBC = ["//platforms:glibc"]

ONLY_X86_64 = ["@platforms//cpu:x86_64"]

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wshadow",
    "-Wpointer-arith",
    "-Wcast-qual",
    "-Wundef",
    "-Wvla",
    "-Wformat=2",
]

_C_WARNINGS = [
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
]

# The compiler may otherwise turn malloc + memset inside our calloc into a call of calloc, or drop an
# allocation that a test makes on purpose.
_NO_BUILTINS = ["-fno-builtin-" + name for name in [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "cfree",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
]]

_CODE = _NO_BUILTINS + [
    "-fPIC",
    "-fno-plt",
    # Thread-local state is one load off the thread pointer, and its first touch never allocates.
    "-ftls-model=initial-exec",
    "-fvisibility=hidden",
]

_SETTINGS = select({
    "//platforms:debug": ["-DHAK_CONFIG_LEVEL=1"],
    "//platforms:paranoid": ["-DHAK_CONFIG_LEVEL=2"],
    "//conditions:default": ["-DHAK_CONFIG_LEVEL=0"],
}) + select({
    "//platforms:asan": ["-DHAK_CONFIG_SANITIZE_ADDRESS=1"],
    "//conditions:default": ["-DHAK_CONFIG_SANITIZE_ADDRESS=0"],
}) + select({
    "//platforms:tsan": ["-DHAK_CONFIG_SANITIZE_THREAD=1"],
    "//conditions:default": ["-DHAK_CONFIG_SANITIZE_THREAD=0"],
}) + select({
    # Keep frames where somebody reads backtraces; the shipped hit paths have no room for them.
    "//platforms:not_release": ["-fno-omit-frame-pointer"],
    "//conditions:default": [
        "-fomit-frame-pointer",
        "-fno-stack-protector",
        "-g1",
    ],
})

C_COPTS = ["-std=c11", "-D_GNU_SOURCE"] + _WARNINGS + _C_WARNINGS + _CODE
CXX_COPTS = ["-std=c++17"] + _WARNINGS + _CODE

# Each target may include only what its own deps declare. Clang checks it; gcc ignores the feature.
_FEATURES = ["layering_check"]

def _is_cxx(srcs):
    """True where the sources are C++. A target is of one language: each has its own warnings."""
    cxx = [src for src in srcs if src.endswith(".cc")]
    c = [src for src in srcs if src.endswith(".c")]
    if cxx and c:
        fail("C and C++ sources in one target, split it: %s and %s" % (c[0], cxx[0]))
    return bool(cxx)

def _compatible(srcs, given):
    """C++ is not built where there is no library for it."""
    return given + (["//platforms:with_cxx"] if _is_cxx(srcs) else [])

def _copts(srcs, copts):
    return (CXX_COPTS if _is_cxx(srcs) else C_COPTS) + _SETTINGS + copts

def _box_name():
    """Name of the box whose package is being loaded: hakmem/os/fake belongs to box "os"."""
    package = native.package_name()
    parts = package.split("/")
    if len(parts) < 2 or parts[0] != "hakmem" or parts[1] not in LAYERS:
        fail("//%s is no box: add it to LAYERS in tools/bazel/defs.bzl, or use hak_cc_library" % package)
    return parts[1]

def hak_layers():
    """Declares the package groups above_l0, above_l1, ... Called once, by //hakmem.

    Group above_lN holds the boxes of the layers higher than N: those that may use a box of layer N.
    """
    for layer in range(max(LAYERS.values()) + 1):
        native.package_group(
            name = "above_l%d" % layer,
            packages = _ABOVE_ALL_LAYERS + sorted([
                "//hakmem/%s/..." % box
                for box, box_layer in LAYERS.items()
                if box_layer > layer
            ]),
        )

def hak_box(name, hdrs, srcs = [], deps = [], copts = [], visibility = None, **kwargs):
    """The library of one box, in C. Its layer follows from its package.

    Args:
      name: name of the target; the folder's name for the box itself.
      hdrs: the headers that other boxes may include.
      srcs: C sources and private headers, `_inl.h` among them.
      deps: boxes of lower layers.
      copts: further options, after the common ones.
      visibility: replaces the default (the layers above, and the box's own packages).
      **kwargs: passed on to cc_library.
    """
    box = _box_name()
    if name == box:
        # For the tests that read the sources of every box, or compile them in their own way.
        native.filegroup(
            name = "sources",
            srcs = native.glob(
                [
                    "*.c",
                    "*.cc",
                    "*.h",
                ],
                allow_empty = True,
            ),
            visibility = ["//hakmem/testing:__subpackages__"],
        )
    if visibility == None:
        visibility = [
            "//hakmem:above_l%d" % LAYERS[box],
            "//hakmem/%s:__subpackages__" % box,
        ]
    hak_cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = copts,
        visibility = visibility,
        deps = deps,
        **kwargs
    )

def hak_box_test(name, srcs, deps, **kwargs):
    """A unit test of a box in C++17, with googletest's main.

    Args:
      name: `<box>_test`.
      srcs: C++ sources (.cc).
      deps: the box and what the test includes besides; googletest is added.
      **kwargs: passed on to cc_test.
    """
    hak_cc_test(
        name = name,
        srcs = srcs,
        deps = deps + [
            "@googletest//:gtest",
            "@googletest//:gtest_main",
        ],
        **kwargs
    )

def hak_cc_library(name, srcs = [], hdrs = [], copts = [], features = [], target_compatible_with = [], **kwargs):
    """cc_library with the project's options. All sources are C, or all are C++.

    Never a shared library of its own: the names of a box are hidden from other libraries (base.h).
    """
    cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        copts = _copts(srcs, copts),
        features = _FEATURES + features,
        linkstatic = True,
        target_compatible_with = _compatible(srcs, target_compatible_with),
        **kwargs
    )

def hak_cc_binary(name, srcs = [], copts = [], features = [], target_compatible_with = [], **kwargs):
    """cc_binary with the project's options. All sources are C, or all are C++."""
    cc_binary(
        name = name,
        srcs = srcs,
        copts = _copts(srcs, copts),
        features = _FEATURES + features,
        target_compatible_with = _compatible(srcs, target_compatible_with),
        **kwargs
    )

def hak_cc_test(name, srcs, copts = [], features = [], linkopts = [], size = "small", target_compatible_with = [], **kwargs):
    """cc_test with the project's options, without googletest's main. All C, or all C++."""
    cc_test(
        name = name,
        size = size,
        srcs = srcs,
        copts = _copts(srcs, copts),
        features = _FEATURES + features,
        linkopts = linkopts + ["-pthread"],
        target_compatible_with = _compatible(srcs, target_compatible_with),
        **kwargs
    )

def hak_python_test(name, modules, data, root = ".", options = [], **kwargs):
    """Python unittest modules as one test, with the python3 of the machine and its standard library.

    Args:
      name: name of the target.
      modules: dotted names, seen from `root`.
      data: the modules, and all that they import, read or run.
      root: folder that is the root of the modules.
      options: of unittest, such as --verbose.
      **kwargs: passed on to sh_test.
    """
    native.sh_test(
        name = name,
        size = "small",
        srcs = ["//tools/bazel:unittest.sh"],
        args = [root] + options + modules,
        data = data,
        **kwargs
    )

def hak_fuzz_test(name, srcs, deps = [], args = [], linkopts = [], **kwargs):
    """A libFuzzer target (LLVMFuzzerTestOneInput), and a test that replays its inputs in every build.

    In --config=fuzz `<name>` fuzzes for a bounded time, starting from its inputs; `bazel run --config=fuzz`
    on it, with libFuzzer's own arguments after --, fuzzes for longer. `<name>_replay` runs the target over
    each input once. The inputs are the files of corpus/<name>/ and regressions/<name>/ in the package; the words
    of dictionaries/<name>.dict, where there is one, are used while it fuzzes.

    Args:
      name: `<subject>_fuzz`.
      srcs: C++ sources (.cc).
      deps: what the target includes.
      args: further arguments for libFuzzer.
      linkopts: further options.
      **kwargs: passed on to both cc_test.
    """
    folders = ["corpus/" + name]
    if native.glob(["regressions/%s/*" % name]):
        folders.append("regressions/" + name)
    inputs = native.glob([folder + "/*" for folder in folders])
    dictionaries = native.glob(["dictionaries/%s.dict" % name], allow_empty = True)
    package = native.package_name()
    hak_cc_test(
        name = name,
        srcs = srcs,
        # Seeds, and not a folder: libFuzzer would write what it finds there.
        args = ["-max_total_time=20"] + (
            ["-seed_inputs=" + ",".join(["%s/%s" % (package, path) for path in inputs])] if inputs else []
        ) + ["-dict=%s/%s" % (package, path) for path in dictionaries] + args,
        linkopts = linkopts + ["-fsanitize=fuzzer"],
        size = "medium",
        data = inputs + dictionaries,
        tags = ["fuzz"],
        target_compatible_with = ONLY_FUZZ,
        deps = deps,
        **kwargs
    )
    hak_cc_test(
        name = name + "_replay",
        srcs = srcs,
        args = ["%s/%s" % (package, folder) for folder in folders],
        data = inputs,
        linkopts = linkopts,
        deps = deps + ["//fuzz:replay_main"],
        **kwargs
    )

def hak_shared_library(
        name,
        deps,
        soname,
        version_script,
        layout_script = None,
        linkopts = [],
        target_compatible_with = NO_SANITIZERS,
        **kwargs):
    """A C-only shared library, to preload or to link against.

    It needs libc and nothing else, keeps no symbol unresolved, exports what the version script names,
    and can never be unloaded: memory that it handed out outlives any dlclose.

    Args:
      name: file name, lib<x>.so.
      deps: libraries; what nothing refers to (malloc itself) must be alwayslink.
      soname: the name that programs linked against it ask for, lib<x>.so.<major>.
      version_script: label of the linker version script.
      layout_script: label of a linker script that adds to the linker's own (INSERT), or None.
      linkopts: further options.
      target_compatible_with: none of the sanitizers by default: their run-time must be the first library
        of a process, and brings a malloc of its own.
      **kwargs: passed on to cc_binary.
    """
    cc_binary(
        name = name,
        additional_linker_inputs = [version_script] + ([layout_script] if layout_script else []),
        # GNU ld where Bazel picks gold, which leaves local thread-local names in the dynamic symbols.
        features = ["-supports_start_end_lib"],
        linkopts = [
            "-fuse-ld=bfd",
            "-Wl,-soname,%s" % soname,
            "-Wl,--version-script,$(location %s)" % version_script,
            "-Wl,-z,now,-z,relro,-z,nodelete",
            # Headers, code and constants in one mapping: two system calls and some page faults less a process.
            "-Wl,-z,noseparate-code",
            "-Wl,--no-undefined",
            "-Wl,-O1,--hash-style=gnu",
            "-pthread",
        ] + (["-Wl,-T,$(location %s)" % layout_script] if layout_script else []) + linkopts,
        linkshared = True,
        linkstatic = True,
        target_compatible_with = target_compatible_with,
        deps = deps,
        **kwargs
    )
