"""Compilers beside the one that Bazel finds by itself: Debian's cross compiler for aarch64, and musl-gcc."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load(
    "@bazel_tools//tools/cpp:cc_toolchain_config_lib.bzl",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
    "with_feature_set",
)
load("@rules_cc//cc:defs.bzl", "cc_toolchain")

_COMPILE = [
    ACTION_NAMES.assemble,
    ACTION_NAMES.preprocess_assemble,
    ACTION_NAMES.c_compile,
    ACTION_NAMES.cpp_compile,
]

_LINK = [
    ACTION_NAMES.cpp_link_executable,
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

def _flags(actions, flags, mode = None):
    return flag_set(
        actions = actions,
        flag_groups = [flag_group(flags = flags)],
        with_features = [with_feature_set(features = [mode])] if mode else [],
    )

def _impl(ctx):
    tools = {
        "ar": "ar",
        "cpp": "cpp",
        "gcov": "gcov",
        "ld": "ld",
        "nm": "nm",
        "objcopy": "objcopy",
        "objdump": "objdump",
        "strip": "strip",
    }
    paths = [tool_path(name = tool, path = ctx.attr.binutils + program) for tool, program in tools.items()]

    # The options are those of the compiler that Bazel finds by itself, so that the worlds differ in nothing else.
    features = [
        feature(name = "opt"),
        feature(name = "dbg"),
        feature(name = "supports_dynamic_linker", enabled = True),
        feature(name = "supports_pic", enabled = True),
        feature(
            name = "default_compile_flags",
            enabled = True,
            flag_sets = [
                _flags(_COMPILE, [
                    "-U_FORTIFY_SOURCE",
                    "-fstack-protector",
                    "-Wall",
                    "-fno-omit-frame-pointer",
                ]),
                _flags(_COMPILE, [
                    "-g0",
                    "-O2",
                    "-DNDEBUG",
                    "-ffunction-sections",
                    "-fdata-sections",
                ] + ctx.attr.opt_compile_flags, "opt"),
                _flags(_COMPILE, ["-g"], "dbg"),
            ],
        ),
        feature(
            name = "default_link_flags",
            enabled = True,
            flag_sets = [
                _flags(_LINK, ["-Wl,-z,relro,-z,now"]),
                _flags(_LINK, ["-Wl,--gc-sections"], "opt"),
            ],
        ),
        # Last on the line: what the sources are compiled with must not depend on the time and place of the build.
        feature(
            name = "unfiltered_compile_flags",
            enabled = True,
            flag_sets = [_flags(_COMPILE, [
                "-fno-canonical-system-headers",
                "-Wno-builtin-macro-redefined",
                "-D__DATE__=\"redacted\"",
                "-D__TIMESTAMP__=\"redacted\"",
                "-D__TIME__=\"redacted\"",
            ] + ctx.attr.last_compile_flags)],
        ),
    ]
    if ctx.attr.link_libs:
        features.append(feature(
            name = "user_libraries",
            enabled = True,
            flag_sets = [_flags(_LINK, ctx.attr.link_libs)],
        ))
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        abi_libc_version = ctx.attr.libc,
        abi_version = ctx.attr.cpu,
        compiler = "gcc",
        cxx_builtin_include_directories = ctx.attr.include_directories,
        features = features,
        host_system_name = "local",
        target_cpu = ctx.attr.cpu,
        target_libc = ctx.attr.libc,
        target_system_name = ctx.attr.cpu + "-linux-" + ctx.attr.libc,
        tool_paths = paths + [tool_path(name = "gcc", path = ctx.attr.compiler)],
        toolchain_identifier = ctx.label.name,
    )

_config = rule(
    implementation = _impl,
    attrs = {
        "binutils": attr.string(mandatory = True),
        "compiler": attr.string(mandatory = True),
        "cpu": attr.string(mandatory = True),
        "include_directories": attr.string_list(mandatory = True),
        "last_compile_flags": attr.string_list(),
        "libc": attr.string(mandatory = True),
        "link_libs": attr.string_list(),
        "opt_compile_flags": attr.string_list(),
    },
    provides = [CcToolchainConfigInfo],
)

def debian_gcc(name, target_compatible_with, **kwargs):
    """A gcc from a Debian package, registered by --extra_toolchains.

    Args:
      name: of the toolchain.
      target_compatible_with: the constraints of what it compiles for.
      **kwargs: of the rule above: `compiler` and the prefix `binutils` of the other programs, absolute; where
        it finds headers; `libc`, `cpu`; further options.
    """
    _config(
        name = name + "_config",
        **kwargs
    )
    native.filegroup(name = name + "_files")
    cc_toolchain(
        name = name + "_compiler",
        all_files = name + "_files",
        compiler_files = name + "_files",
        dwp_files = name + "_files",
        linker_files = name + "_files",
        objcopy_files = name + "_files",
        strip_files = name + "_files",
        supports_param_files = True,
        toolchain_config = name + "_config",
    )
    native.toolchain(
        name = name,
        exec_compatible_with = ["@platforms//os:linux"],
        target_compatible_with = target_compatible_with,
        toolchain = name + "_compiler",
        toolchain_type = "@bazel_tools//tools/cpp:toolchain_type",
    )
