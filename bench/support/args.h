/* Purpose: one command line for every benchmark program: a table of options, getopt_long, clear errors.
 * Owns: nothing; values land where the caller's table points.
 * Invariants:
 *   1. Every value holds its default before parsing and a value in [min, max] after it.
 *   2. A bad argument never gets past bench_args_parse: it names what was wrong and exits with status 2.
 * Threads: call once, from main, before any other thread.  Cost: startup only; allocates nothing. */
#ifndef BENCH_SUPPORT_ARGS_H_
#define BENCH_SUPPORT_ARGS_H_

#include <stddef.h>
#include <stdint.h>

/** Exit statuses of every program. */
enum { BENCH_EXIT_OK = 0, BENCH_EXIT_FAILED = 1, BENCH_EXIT_USAGE = 2, BENCH_EXIT_CORRUPT = 3 };

/** One option: a whole number in [min, max], or one of a NULL-ended list of names (the value is its index). */
typedef struct bench_option {
  const char* name;           /* without the dashes */
  const char* help;           /* one line, units named */
  uint64_t* value;            /* default before, argument after */
  uint64_t min;               /* unused with names */
  uint64_t max;               /* unused with names */
  const char* const* choices; /* NULL: a number */
} bench_option;

/** What the common options --row, --ops and --seconds ask for. */
typedef struct bench_limits {
  const char* row; /* name echoed in the result */
  uint64_t ops;    /* stop after this many operations; 0: no such limit */
  double seconds;  /* stop after this long; 0: no such limit */
} bench_limits;

/** A program: its name, what it measures, and its options. */
typedef struct bench_program {
  const char* name;
  const char* about;
  const bench_option* options;
  size_t option_count;
} bench_program;

/** Parses the command line. Prints help and exits 0 on --help; exits 2 on a bad argument. With neither --ops nor
 *  --seconds the limit is half a second. */
bench_limits bench_args_parse(const bench_program* program, int argc, char** argv);

/** Ends the program with status 2 and the message "NAME: MESSAGE", for rules that span several options. */
_Noreturn void bench_args_reject(const bench_program* program, const char* message);

#endif /* BENCH_SUPPORT_ARGS_H_ */
