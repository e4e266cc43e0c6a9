/* replay: plays, summarises, prints or compares traces. `hakmem replay` and `hakmem trace` call it. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/trace/play.h"
#include "tools/trace/reader.h"
#include "tools/trace/summary.h"

enum { WRONG_INPUT = 2, DIFFERENT = 1 };

static const char* const kind_names[HAK_TRACE_KINDS] = {
    "mark",           "malloc",   "calloc", "realloc", "realloc_null", "realloc_freed", "aligned_alloc",
    "posix_memalign", "memalign", "valloc", "pvalloc", "free",         "free_null",     "free_unknown"};

static int fail(const char* path, const char* text) {
  fprintf(stderr, "replay: %s %s\n", path, text);
  return WRONG_INPUT;
}

static int usage(const char* text) {
  fprintf(stderr,
          "replay: %s; usage: replay [--verify] [--loose] [--touch none|pages|all] TRACE, --summary TRACE, "
          "--dump TRACE, --compare TRACE TRACE\n",
          text);
  return WRONG_INPUT;
}

static void print_string(const char* name, const char* text) {
  printf("\"%s\":\"", name);
  for (const unsigned char* at = (const unsigned char*)text; *at != 0; at++) {
    if (*at < 0x20 || *at >= 0x7f || *at == '"' || *at == '\\') {
      printf("\\u%04x", *at);
    } else {
      putchar(*at);
    }
  }
  putchar('"');
}

static void print_list(const char* name, const uint64_t* numbers, unsigned count) {
  printf(",\"%s\":[", name);
  for (unsigned i = 0; i < count; i++) printf("%s%" PRIu64, i == 0 ? "" : ",", numbers[i]);
  putchar(']');
}

/* What the file says of the process and of itself. */
static void print_source(const hak_trace* trace) {
  print_string("program", trace->header.program);
  printf(",\"pid\":%" PRIu64 ",\"parent_pid\":%" PRIu64 ",\"started_us\":%" PRIu64, trace->header.pid,
         trace->header.parent_pid, trace->header.started_us);
  printf(",\"has_exited\":%s,\"stopped_by\":%" PRIu32 ",\"missed\":%" PRIu64 ",\"unknown_frees\":%" PRIu64
         ",\"unborn_refs\":%" PRIu64,
         trace->header.has_exited != 0 ? "true" : "false", trace->header.stopped_by, trace->header.missed,
         trace->unknown_frees, trace->unborn_refs);
  printf(",\"operations\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"records_bytes\":%" PRIu64, trace->ops_count,
         trace->blocks_count, trace->records_bytes);
}

static void print_threads(const hak_trace_summary* summary) {
  printf(",\"threads\":[");
  for (uint64_t i = 0; i < summary->threads_count; i++) {
    const hak_trace_thread_summary* of = &summary->threads[i];
    printf("%s{\"thread\":%" PRIu64 ",\"operations\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"frees\":%" PRIu64
           ",\"foreign_frees\":%" PRIu64 "}",
           i == 0 ? "" : ",", i, of->ops, of->blocks, of->frees, of->foreign_frees);
  }
  putchar(']');
}

static int summarise(const hak_trace* trace, const char* path) {
  hak_trace_summary summary;
  if (!hak_trace_summarise(trace, &summary)) return fail(path, "needs more memory than is to be had");
  putchar('{');
  print_source(trace);
  printf(",\"duration_us\":%" PRIu64 ",\"kinds\":{", summary.duration_us);
  for (unsigned kind = HAK_TRACE_MALLOC; kind < HAK_TRACE_FREE_UNKNOWN; kind++) {
    printf("%s\"%s\":%" PRIu64, kind == HAK_TRACE_MALLOC ? "" : ",", kind_names[kind], summary.kinds[kind]);
  }
  printf("},\"failed\":%" PRIu64, summary.failed);
  print_list("sizes", summary.sizes, HAK_TRACE_PLACES);
  print_list("size_bytes", summary.size_bytes, HAK_TRACE_PLACES);
  print_list("lifetimes", summary.lifetimes, HAK_TRACE_PLACES);
  printf(",\"peak_live_bytes\":%" PRIu64 ",\"peak_live_blocks\":%" PRIu64 ",\"last_live_bytes\":%" PRIu64
         ",\"last_live_blocks\":%" PRIu64,
         summary.peak_live_bytes, summary.peak_live_blocks, summary.last_live_bytes, summary.last_live_blocks);
  printf(",\"realloc\":{\"grown\":%" PRIu64 ",\"shrunk\":%" PRIu64 ",\"same\":%" PRIu64 ",\"longest_growth\":%" PRIu64
         ",\"longest_growth_bytes\":%" PRIu64 "}",
         summary.grown, summary.shrunk, summary.same, summary.longest_growth, summary.longest_growth_bytes);
  print_threads(&summary);
  puts("}");
  hak_trace_summary_free(&summary);
  return 0;
}

/* --- operations as text --- */

static void print_block(const hak_trace* trace, uint32_t block) {
  uint32_t thread = 0;
  while (block - trace->threads[thread].first_block >= trace->threads[thread].blocks_count) thread++;
  printf(" %" PRIu32 ":%" PRIu64, thread, block - trace->threads[thread].first_block);
}

static void print_op(const hak_trace* trace, const hak_trace_op* op, uint64_t ordinal, uint32_t thread) {
  const hak_trace_kind kind = (hak_trace_kind)op->kind;
  printf("%" PRIu32 " %s", thread, kind_names[kind]);
  if (hak_trace_names_block(kind)) print_block(trace, op->block);
  if (kind == HAK_TRACE_CALLOC) printf(" %" PRIu32, op->block);
  if (kind >= HAK_TRACE_ALIGNED_ALLOC && kind <= HAK_TRACE_MEMALIGN)
    printf(" %" PRIu64, UINT64_C(1) << op->alignment_log2);
  if (hak_trace_makes_block(kind, false)) printf(" %" PRIu64, op->size);
  if (hak_trace_makes_block(kind, op->has_failed)) printf(" = %" PRIu32 ":%" PRIu64, thread, ordinal);
  puts(op->has_failed ? " failed" : "");
}

static int dump(const hak_trace* trace) {
  for (uint32_t thread = 0; thread < trace->threads_count; thread++) {
    const hak_trace_thread* of = &trace->threads[thread];
    uint64_t ordinal = 0;
    for (uint64_t i = 0; i < of->ops_count; i++) {
      const hak_trace_op* op = &of->ops[i];
      if (op->kind == HAK_TRACE_MARK) continue;
      print_op(trace, op, ordinal, thread);
      ordinal += hak_trace_makes_block((hak_trace_kind)op->kind, op->has_failed);
    }
  }
  return 0;
}

/* --- comparison --- */

/* The next operation of a thread, marks left out; NULL at the end. */
static const hak_trace_op* next_op(const hak_trace_thread* of, uint64_t* at) {
  while (*at < of->ops_count && of->ops[*at].kind == HAK_TRACE_MARK) (*at)++;
  return *at < of->ops_count ? &of->ops[(*at)++] : NULL;
}

static bool are_same(const hak_trace_op* left, const hak_trace_op* right) {
  if (left == NULL || right == NULL) return left == right;
  return left->kind == right->kind && left->size == right->size && left->block == right->block &&
         left->alignment_log2 == right->alignment_log2 && left->has_failed == right->has_failed;
}

/* As the shell's cmp: 0 where each thread does the same operations on the same blocks. */
static int compare(const hak_trace* left, const hak_trace* right) {
  static const hak_trace_thread none;
  const uint64_t threads = left->threads_count > right->threads_count ? left->threads_count : right->threads_count;
  for (uint64_t thread = 0; thread < threads; thread++) {
    const hak_trace_thread* a = thread < left->threads_count ? &left->threads[thread] : &none;
    const hak_trace_thread* b = thread < right->threads_count ? &right->threads[thread] : &none;
    uint64_t at_a = 0;
    uint64_t at_b = 0;
    for (uint64_t number = 0;; number++) {
      const hak_trace_op* op_a = next_op(a, &at_a);
      const hak_trace_op* op_b = next_op(b, &at_b);
      if (!are_same(op_a, op_b)) {
        printf("{\"same\":false,\"thread\":%" PRIu64 ",\"operation\":%" PRIu64 "}\n", thread, number);
        return DIFFERENT;
      }
      if (op_a == NULL) break;
    }
  }
  printf("{\"same\":true,\"threads\":%" PRIu64 ",\"operations\":%" PRIu64 "}\n", threads, left->ops_count);
  return 0;
}

/* --- play --- */

static int play(const hak_trace* trace, const char* path, const hak_trace_play_options* options) {
  hak_trace_play_outcome outcome;
  hak_trace_error error;
  if (!hak_trace_play(trace, options, &outcome, &error)) return fail(path, error.text);
  printf("{\"operations\":%" PRIu64 ",\"threads\":%" PRIu64 ",\"wall_s\":%.6f,\"cpu_s\":%.6f", outcome.ops,
         outcome.threads, outcome.wall_s, outcome.cpu_s);
  printf(",\"start_cpu_s\":%.6f,\"end_rss_bytes\":%" PRIu64, outcome.start_cpu_s, outcome.end_rss_bytes);
  printf(",\"peak_rss_bytes\":%" PRIu64 ",\"own_rss_bytes\":%" PRIu64 ",\"page_faults\":%" PRIu64
         ",\"refused\":%" PRIu64 ",\"wrong_bytes\":%" PRIu64 ",\"has_exited\":%s}\n",
         outcome.peak_rss_bytes, outcome.own_rss_bytes, outcome.page_faults, outcome.refused, outcome.wrong_bytes,
         trace->header.has_exited != 0 ? "true" : "false");
  return outcome.wrong_bytes == 0 ? 0 : DIFFERENT;
}

static bool parse_touch(const char* word, hak_trace_touch* touch) {
  static const char* const words[] = {"none", "pages", "all"};
  for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    if (strcmp(word, words[i]) != 0) continue;
    *touch = (hak_trace_touch)i;
    return true;
  }
  return false;
}

static int run(int mode, char** paths, const hak_trace_play_options* options) {
  hak_trace_error error;
  hak_trace* trace = hak_trace_load_file(paths[0], &error);
  if (trace == NULL) return fail(paths[0], error.text);
  int status;
  switch (mode) {
    case 's': status = summarise(trace, paths[0]); break;
    case 'd': status = dump(trace); break;
    case 'c': {
      hak_trace* other = hak_trace_load_file(paths[1], &error);
      if (other == NULL) return fail(paths[1], error.text);
      status = compare(trace, other);
      hak_trace_unload(other);
      break;
    }
    default: status = play(trace, paths[0], options); break;
  }
  hak_trace_unload(trace);
  if (fflush(stdout) != 0) return fail("standard output", strerror(errno));
  return status;
}

int main(int argc, char** argv) {
  static const struct option names[] = {{"verify", no_argument, NULL, 'v'},
                                        {"loose", no_argument, NULL, 'l'},
                                        {"touch", required_argument, NULL, 't'},
                                        {"summary", no_argument, NULL, 's'},
                                        {"dump", no_argument, NULL, 'd'},
                                        {"compare", no_argument, NULL, 'c'},
                                        {NULL, 0, NULL, 0}};
  hak_trace_play_options options = {.touch = HAK_TRACE_TOUCH_PAGES};
  int mode = 'p';
  opterr = 0;
  for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
    switch (option) {
      case 'v': options.is_verifying = true; break;
      case 'l': options.is_loose = true; break;
      case 't':
        if (!parse_touch(optarg, &options.touch)) return usage("--touch is none, pages or all");
        break;
      case 's':
      case 'd':
      case 'c': mode = option; break;
      default: return usage("no such option");
    }
  }
  const int wanted = mode == 'c' ? 2 : 1;
  if (argc - optind != wanted) return usage(wanted == 2 ? "two traces are compared" : "one trace is wanted");
  return run(mode, argv + optind, &options);
}
