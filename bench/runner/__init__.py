"""The benchmark runner behind tools/bench.

Bottom up: rows, stats, allocators and programs know nothing of each other; measure runs one cell; session decides
what is measured when; results holds what came out; report writes it down; cli ties them together.
"""
