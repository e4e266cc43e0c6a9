"""The modules behind tools/mutants: faults are put into the allocator, one at a time, and the tests must notice.

mutation.py   what a fault is, and the list of them (mutations.toml)
tree.py       the copy of the sources that they are put into
suite.py      runs Bazel's tests there and reads what they said
report.py     the table in docs/testing.md, and the results that are kept between runs
cli.py        the command line
"""
