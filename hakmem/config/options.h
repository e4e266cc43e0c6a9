/* Purpose: the one table of options: from it come the parser's rows, `hakmem options`, docs/tuning.md and hakmem.conf(5).
 * Owns: nothing; whoever includes it says what the four words are, and may include it again with other meanings.
 * Invariants:
 *   1. An option is one row, here and nowhere else. CONTRIBUTING.md says what goes with a new one.
 * Threads: any.  Cost: none; meanings are text for documents and not in the library.
 * Fails: never.  Fork: nothing to do.
 *
 *   HAK_NUMBER(name, unit, default, least, most, when, meaning)   unit: BYTES, MS, COUNT
 *   HAK_FLAG(name, default, when, meaning)                        0 or 1
 *   HAK_WORD(name, words, when, meaning)                          the words between \0; the first is the default
 *   HAK_TEXT(name, longest, when, meaning)                        at most so many bytes; empty by default
 *
 * when: START: read when the process starts. NOW: at once. THREAD: for threads that start from then on. What is not START
 * can be set with hak_option_set. A meaning is Markdown, its code in `back quotes`. tools/hakmem_lib/option_table.py reads
 * this file too: rows are macros over literals, and numbers a product of at most KIB, MIB or GIB and a decimal number. */

HAK_WORD(
    ON_ERROR, "abort\0warn\0ignore", NOW,
    "after a double free, an interior or a foreign pointer: one line on stderr and abort; the line only; nothing. The "
    "heap is left as it is in every case")
HAK_NUMBER(DECAY_MS, MS, 500, 0, 3600000, NOW,
           "how long freed memory stays resident before it goes back to the kernel; 0: at once")
HAK_NUMBER(
    SURPLUS_BYTES, BYTES, 512 * KIB, 0, 1024 * GIB, NOW,
    "freed memory that may stay resident beside a sixteenth of what is in use, and beside what the process has asked "
    "for again after it went back; more goes back while the process frees. SuperSlabs and blocks above 2 MiB each "
    "have this allowance; 1024g leaves all to the decay time")
HAK_NUMBER(SUPERSLAB_CACHE, COUNT, 256, 0, 65536, NOW, "empty SuperSlabs (2 MiB) that stay mapped at most")
HAK_NUMBER(
    WHALE_CACHE_BYTES, BYTES, 512 * MIB, 0, 1024 * GIB, NOW,
    "bytes of freed blocks above 2 MiB that stay mapped at most; one block may fill a quarter of it. While the process "
    "maps new such blocks, what is cached above 8 MiB, or above a quarter of what is live where that is more, goes "
    "first")
HAK_NUMBER(
    THREAD_CACHE_BYTES, BYTES, 16 * MIB, 0, 4 * GIB, THREAD,
    "bytes that the caches of one thread may hold; half of it for the second to fourth thread at work, a quarter up to "
    "the eighth, a sixteenth for the others; 0 switches them off, and every free is checked")
HAK_NUMBER(CACHE_BLOCKS, COUNT, 1087, 1, 1087, NOW,
           "blocks of one size that a thread may cache, if they are not too many bytes; caches that are larger shrink "
           "within a "
           "second or two of slow paths")
HAK_NUMBER(
    REFILL_BLOCKS, COUNT, 0, 0, 1087, NOW,
    "blocks below 4 KiB that move into an empty cache at once, as far as it may hold them; 0: an eighth of what it may "
    "hold, up to half of it while the program only allocates")
HAK_NUMBER(SPILL_BLOCKS, COUNT, 0, 0, 1087, NOW,
           "blocks that leave a full cache at once; 0: an eighth of what it may hold, all while the program only frees")
HAK_NUMBER(OUTBOX_BYTES, BYTES, 4 * KIB, 0, 16 * MIB, NOW,
           "of another thread's blocks: bytes that wait in each of 16 places to go home together, 64 neighbours at "
           "most; 0: each "
           "goes at once")
HAK_FLAG(
    TIERS, 1, NOW,
    "which SuperSlab new slabs come from. 1: one that is at least half full, so that the others become empty; 0: that "
    "with the lowest number, whatever is in it")
HAK_WORD(ZEROING, "learn\0clear\0purge", NOW,
         "how `calloc` makes used memory from 64 KiB on zero: as blocks have been written to before; with zeroes; by "
         "giving the "
         "pages back, which costs a page fault for each that is touched")
HAK_FLAG(PURGE_IN_WAITS, 1, NOW,
         "1: a thread that sleeps, or waits in `poll`, `select` or `epoll_wait`, for longer than the decay time gives "
         "back what is free then, and what it caches. In the preloaded library only")
HAK_FLAG(PREFAULT, 0, NOW,
         "1: memory is there as soon as a slab or a block from 64 KiB on is taken, to its end, and its first use "
         "causes no page "
         "fault; what nobody touches is resident too")
HAK_NUMBER(PREWARM_BYTES, BYTES, 0, 0, 1024 * GIB, START,
           "memory for blocks up to 2 MiB that is mapped and made resident when the process starts; it stays until it "
           "has been "
           "used")
HAK_FLAG(HUGE_PAGES, 1, NOW, "0: never use huge pages; 1: a heap above 64 MiB follows the system's mode")
HAK_FLAG(LIMITS, 1, NOW,
         "1: defaults follow the memory limit and the processors of the control group (container), and free memory "
         "goes back "
         "at once when memory is short there; 0: neither, and no file of the kernel's is read")
HAK_FLAG(STATS_AT_EXIT, 0, NOW, "1: the figures when the process ends, by default the text of `malloc_stats`")
HAK_WORD(STATS_FORMAT, "text\0json\0openmetrics", NOW,
         "what `HAKMEM_STATS_AT_EXIT` writes: a text for people; one JSON object; OpenMetrics text")
HAK_TEXT(
    STATS_FILE, 255, NOW,
    "the file that `HAKMEM_STATS_AT_EXIT` appends to; `%p` in the path is the number of the process; empty, or in a "
    "set-user-ID program: stderr")
HAK_FLAG(PROFILE, 0, START,
         "1: a sampled heap profile from the start. `hakmem prof PID` switches it on in a running process")
HAK_NUMBER(
    PROFILE_BYTES, BYTES, 512 * KIB, 1, 1024 * GIB, NOW,
    "bytes between two samples of the heap profile, on average. Fewer show rarer call sites and cost more: each sample "
    "some 10 us")
HAK_TEXT(
    PROFILE_FILE, 255, NOW,
    "the file that the heap profile is written to when the process ends, for `hakmem prof FILE`; `%p` is the number of "
    "the process; an existing file is left alone and `.1`, `.2` and so on tried. Empty, or in a set-user-ID program: "
    "none is written")
HAK_FLAG(
    BACKGROUND_THREAD, 0, START,
    "1: a thread of HAKMEM's own gives back what an idle process has freed; without it that happens while the program "
    "allocates and frees; not in set-user-ID programs")
HAK_TEXT(
    METRICS, 200, START,
    "a file that a thread of HAKMEM's own writes anew with the figures as OpenMetrics text, or `unix:/path`, a socket "
    "that "
    "answers each connection with them; `%p` in the path is the process's number, and without it the children of a "
    "fork write none; empty, or in a set-user-ID program: neither")
HAK_NUMBER(METRICS_SECONDS, COUNT, 10, 1, 86400, NOW, "seconds between two writes of `HAKMEM_METRICS`")
HAK_FLAG(LATENCY_HISTOGRAM, 0, START, "1: slow paths are timed, by cause, about 50 ns each")
HAK_FLAG(
    CRASH_REPORTS, 0, START,
    "1: after SIGSEGV, SIGBUS and SIGABRT, and after a report of misuse that ends the process, stderr says what the "
    "address is to HAKMEM. The program's own handlers and the exit status stay as they are; not in set-user-ID "
    "programs")
HAK_FLAG(
    CRASH_REPORTS_FIRST, 0, START,
    "1: crash reports also where the program sets a handler of its own for the signal afterwards, by `sigaction` or "
    "`signal`: HAKMEM reports, then calls it. Not for programs that live with faults, as run-times with guard pages "
    "do. "
    "In the preloaded library only")
HAK_NUMBER(
    FLIGHT_RECORDER, COUNT, 0, 0, 1024, START,
    "operations of each thread, the last ones, that are kept for crash reports and `hakmem why`: 32 bytes each, and "
    "every malloc and free takes the slow path; 0: none")
HAK_TEXT(
    SITE_RULES, 255, START,
    "a file of rules that keep what call sites allocate apart from everything else, so that blocks which live long do "
    "not pin slabs full of short-lived ones: `CLASS MODULE+0xOFFSET`, `CLASS MODULE!FUNCTION` or `CLASS FUNCTION` a "
    "line. `hakmem prof --site-rules` writes one. While there are rules every malloc takes the slow path; empty: none")
HAK_FLAG(VERBOSE, 0, START, "1: one line at start: the version and the options in force")
