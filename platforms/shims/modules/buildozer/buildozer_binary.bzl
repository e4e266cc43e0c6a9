"""Stands in for the extension that fetches buildozer, which `bazel mod tidy` alone asks for."""

def _empty_impl(ctx):
    ctx.file("BUILD.bazel")

_empty = repository_rule(implementation = _empty_impl)

def _extension_impl(_module_ctx):
    _empty(name = "buildozer_binary")

buildozer_binary = module_extension(implementation = _extension_impl)
