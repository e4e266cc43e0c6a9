#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/torture/raw_threads.h"

void raw_threads(void) { say("skipped: written for glibc on x86-64"); }
