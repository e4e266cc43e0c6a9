"""The fuzz targets outside Bazel: running them for long (tools/fuzz), building them for a fleet (tools/oss-fuzz)."""
