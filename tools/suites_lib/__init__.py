"""tools/suites: long test suites of other projects on libc's malloc and on HAKMEM."""
