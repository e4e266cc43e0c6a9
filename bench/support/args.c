#include "bench/support/args.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 16, COMMON_OPTIONS = 4 };

/* getopt's val: the index of the program's own option, or one of these. */
enum { VAL_ROW = MAX_OPTIONS, VAL_OPS, VAL_SECONDS, VAL_HELP };

static const double DEFAULT_SECONDS = 0.5;
static const double MAX_SECONDS = 3600.0;

_Noreturn void bench_args_reject(const bench_program* program, const char* message) {
  fprintf(stderr, "%s: %s\nTry '%s --help'.\n", program->name, message, program->name);
  exit(BENCH_EXIT_USAGE);
}

_Noreturn static void reject_value(const bench_program* program, const char* option, const char* text,
                                   const char* wanted) {
  char message[256];
  snprintf(message, sizeof message, "--%s: '%.80s' is not %s", option, text, wanted);
  bench_args_reject(program, message);
}

static uint64_t parse_number(const bench_program* program, const char* option, const char* text, uint64_t min,
                             uint64_t max) {
  char* end = NULL;
  errno = 0;
  const uint64_t value = strtoull(text, &end, 10);
  const bool is_whole = text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
  if (!is_whole || value < min || value > max) {
    char wanted[96];
    snprintf(wanted, sizeof wanted, "a whole number from %" PRIu64 " to %" PRIu64, min, max);
    reject_value(program, option, text, wanted);
  }
  return value;
}

static uint64_t parse_choice(const bench_program* program, const bench_option* option, const char* text) {
  char wanted[128] = "one of";
  size_t length = strlen(wanted);
  for (uint64_t i = 0; option->choices[i] != NULL; i++) {
    if (strcmp(option->choices[i], text) == 0) return i;
    const int added = snprintf(wanted + length, sizeof wanted - length, " %s", option->choices[i]);
    if (added > 0 && (size_t)added < sizeof wanted - length) length += (size_t)added;
  }
  reject_value(program, option->name, text, wanted);
}

static double parse_seconds(const bench_program* program, const char* text) {
  char* end = NULL;
  const double value = strtod(text, &end);
  if (end == text || *end != '\0' || !isfinite(value) || value <= 0.0 || value > MAX_SECONDS) {
    reject_value(program, "seconds", text, "a number above 0, 3600 at most");
  }
  return value;
}

/* The name goes into a JSON string unescaped, so only plain characters pass. */
static const char* parse_row(const bench_program* program, const char* text) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  const size_t length = strlen(text);
  if (length == 0 || length > 64 || strspn(text, allowed) != length) {
    reject_value(program, "row", text, "a name of 1 to 64 letters, digits, '_', '.' or '-'");
  }
  return text;
}

static void print_option(const bench_option* option) {
  char left[96];
  int used = snprintf(left, sizeof left, "--%s ", option->name);
  if (option->choices == NULL) {
    snprintf(left + used, sizeof left - (size_t)used, "N");
    printf("  %-28s %s (%" PRIu64 ")\n", left, option->help, *option->value);
    return;
  }
  for (size_t i = 0; option->choices[i] != NULL && used > 0 && (size_t)used < sizeof left; i++) {
    used += snprintf(left + used, sizeof left - (size_t)used, "%s%s", i == 0 ? "" : "|", option->choices[i]);
  }
  printf("  %-28s %s (%s)\n", left, option->help, option->choices[*option->value]);
}

static void print_help(const bench_program* program) {
  printf("%s: %s\n\nUsage: %s [OPTION]...\n", program->name, program->about, program->name);
  for (size_t i = 0; i < program->option_count; i++) print_option(&program->options[i]);
  printf("  %-28s %s\n", "--row NAME", "name given in the result (the program's)");
  printf("  %-28s %s\n", "--ops N", "stop after N operations or a little later");
  printf("  %-28s %s\n", "--seconds S", "stop after S seconds (0.5, where --ops is not given)");
  printf("  %-28s %s\n", "--help", "print this");
  printf("\nPrints one JSON object: row, ops, wall_s, cpu_s, peak_rss_kb, and what more bench/README.md says.\n");
}

/* Options may be abbreviated by getopt_long, so an unknown or ambiguous one is reported by the word itself. */
_Noreturn static void reject_word(const bench_program* program, int code, const char* word) {
  char message[160];
  snprintf(message, sizeof message, "%.100s: %s", word, code == ':' ? "needs a value" : "no such option");
  bench_args_reject(program, message);
}

bench_limits bench_args_parse(const bench_program* program, int argc, char** argv) {
  static const struct option common[COMMON_OPTIONS] = {{"row", required_argument, NULL, VAL_ROW},
                                                       {"ops", required_argument, NULL, VAL_OPS},
                                                       {"seconds", required_argument, NULL, VAL_SECONDS},
                                                       {"help", no_argument, NULL, VAL_HELP}};
  struct option table[MAX_OPTIONS + COMMON_OPTIONS + 1];
  memset(table, 0, sizeof table);
  if (program->option_count > MAX_OPTIONS) abort();
  for (size_t i = 0; i < program->option_count; i++) {
    table[i] = (struct option){program->options[i].name, required_argument, NULL, (int)i};
  }
  memcpy(table + program->option_count, common, sizeof common);

  bench_limits limits = {.row = program->name, .ops = 0, .seconds = 0.0};
  int code;
  while ((code = getopt_long(argc, argv, ":", table, NULL)) != -1) {
    switch (code) {
      case VAL_ROW: limits.row = parse_row(program, optarg); break;
      case VAL_OPS: limits.ops = parse_number(program, "ops", optarg, 1, UINT64_MAX / 2); break;
      case VAL_SECONDS: limits.seconds = parse_seconds(program, optarg); break;
      case VAL_HELP: print_help(program); exit(BENCH_EXIT_OK);
      case '?':
      case ':': reject_word(program, code, argv[optind - 1]);
      default: {
        const bench_option* option = &program->options[code];
        *option->value = option->choices != NULL
                             ? parse_choice(program, option, optarg)
                             : parse_number(program, option->name, optarg, option->min, option->max);
      }
    }
  }
  if (optind < argc) reject_word(program, '?', argv[optind]);
  if (limits.ops == 0 && limits.seconds <= 0.0) limits.seconds = DEFAULT_SECONDS;
  return limits;
}
