"""The module behind tools/coverage: which lines no test reaches, and whether somebody said why."""
