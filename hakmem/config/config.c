#include "hakmem/config/config.h"

#include <sys/auxv.h>
#include <unistd.h>

#include "hakmem/base/checks.h"
#include "hakmem/base/print.h"

static const char env_prefix[] = "HAKMEM_";
static const char* const error_action_names[] = {"abort", "warn", "ignore", NULL};

/* One row an option. `words` replaces the number where the value is one of a few words. */
typedef struct option_row {
  const char* name;
  uint64_t initial, min, max;
  const char* const* words;
} option_row;

#define MIB (1024ull * 1024)

static const option_row rows[HAK_OPTION_COUNT] = {
    [HAK_OPTION_ON_ERROR] = {"ON_ERROR", HAK_ERROR_ABORT, 0, 2, error_action_names},
    [HAK_OPTION_DECAY_MS] = {"DECAY_MS", 500, 0, 3600000, NULL},
    [HAK_OPTION_SURPLUS_BYTES] = {"SURPLUS_BYTES", 512 * 1024, 0, 1ull << 40, NULL},
    [HAK_OPTION_SUPERSLAB_CACHE] = {"SUPERSLAB_CACHE", 8, 0, 65536, NULL},
    [HAK_OPTION_WHALE_CACHE_BYTES] = {"WHALE_CACHE_BYTES", 32 * MIB, 0, 1ull << 40, NULL},
    [HAK_OPTION_THREAD_CACHE_BYTES] = {"THREAD_CACHE_BYTES", 16 * MIB, 0, 1ull << 32, NULL},
    [HAK_OPTION_HUGE_PAGES] = {"HUGE_PAGES", 1, 0, 1, NULL},
    [HAK_OPTION_STATS_AT_EXIT] = {"STATS_AT_EXIT", 0, 0, 1, NULL},
    [HAK_OPTION_VERBOSE] = {"VERBOSE", 0, 0, 1, NULL},
};

/* Sync: atomic; a value is stored before its mark (release, acquire). Without a mark the row's initial value holds, so
 * that a process whose first malloc comes before any load sees the defaults. */
static hak_atomic_u64 values[HAK_OPTION_COUNT];
static hak_atomic_u32 value_is_set[HAK_OPTION_COUNT];
static hak_atomic_u32 loaded HAK_START_DATA;

uint64_t hak_config_get(hak_option option) {
  if (!hak_u32_load_acquire(&value_is_set[option])) return rows[option].initial;
  return hak_u64_load_relaxed(&values[option]);
}

const char* hak_config_word(hak_option option) {
  return rows[option].words == NULL ? NULL : rows[option].words[hak_config_get(option)];
}

const char* hak_config_name(hak_option option) { return rows[option].name; }

static void set_value(hak_option option, uint64_t value) {
  hak_u64_store_relaxed(&values[option], value);
  hak_u32_store_release(&value_is_set[option], 1); /* pairs with hak_config_get */
  if (option == HAK_OPTION_ON_ERROR) hak_set_error_action((hak_error_action)value);
}

/* Returns what follows `prefix` in `text`, or NULL. */
static const char* skip_prefix(const char* text, const char* prefix) {
  while (*prefix != 0) {
    if (*text++ != *prefix++) return NULL;
  }
  return text;
}

static bool same_text(const char* a, const char* b) {
  const char* rest = skip_prefix(a, b);
  return rest != NULL && *rest == 0;
}

/* A whole decimal number with an optional k, m or g (powers of 1024). */
static bool parse_number(const char* text, uint64_t* value) {
  uint64_t number = 0;
  if (*text < '0' || *text > '9') return false;
  for (; *text >= '0' && *text <= '9'; text++) {
    if (__builtin_mul_overflow(number, 10, &number)) return false;
    if (__builtin_add_overflow(number, (uint64_t)(*text - '0'), &number)) return false;
  }
  uint64_t scale = 1;
  if (*text == 'k' || *text == 'K') scale = 1024;
  if (*text == 'm' || *text == 'M') scale = MIB;
  if (*text == 'g' || *text == 'G') scale = 1024 * MIB;
  if (scale != 1) text++;
  return *text == 0 && !__builtin_mul_overflow(number, scale, value);
}

static bool parse_value(const option_row* row, const char* text, uint64_t* value) {
  if (row->words != NULL) {
    for (uint64_t i = 0; row->words[i] != NULL; i++) {
      if (same_text(text, row->words[i])) {
        *value = i;
        return true;
      }
    }
    return false;
  }
  return parse_number(text, value) && *value >= row->min && *value <= row->max;
}

static void complain(const option_row* row, const char* text) {
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: ignored ");
  hak_print_str(&line, env_prefix);
  hak_print_str(&line, row->name);
  hak_print_str(&line, "=");
  /* The value is the user's and may be of any length; the reason after it must not be cut off. */
  for (size_t i = 0; i < 80 && text[i] != 0; i++) {
    const char one[2] = {text[i], 0};
    hak_print_str(&line, one);
  }
  if (row->words != NULL) {
    hak_print_str(&line, ": not one of");
    for (size_t i = 0; row->words[i] != NULL; i++) {
      hak_print_str(&line, i == 0 ? " " : ", ");
      hak_print_str(&line, row->words[i]);
    }
  } else {
    hak_print_str(&line, ": not a number from ");
    hak_print_u64(&line, row->min);
    hak_print_str(&line, " to ");
    hak_print_u64(&line, row->max);
  }
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
}

/* `entry` is "NAME=value" without the prefix. */
static void load_entry(const char* entry) {
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    const char* rest = skip_prefix(entry, rows[i].name);
    if (rest == NULL || *rest != '=') continue;
    uint64_t value = 0;
    if (parse_value(&rows[i], rest + 1, &value)) {
      set_value((hak_option)i, value);
    } else {
      complain(&rows[i], rest + 1);
    }
    return;
  }
}

bool hak_config_load(char** environment) { return hak_config_load_as(environment, getauxval(AT_SECURE) != 0); }

bool hak_config_load_as(char** environment, bool is_secure) {
  if (hak_u32_load_relaxed(&loaded)) return true;
  if (environment == NULL) return false; /* libc has not started yet */
  if (hak_u32_exchange_seq(&loaded, 1)) return true;
  if (is_secure) return true;
  for (char** entry = environment; *entry != NULL; entry++) {
    const char* rest = skip_prefix(*entry, env_prefix);
    if (rest != NULL) load_entry(rest);
  }
  return true;
}

void hak_config_set_for_test(hak_option option, uint64_t value) { set_value(option, value); }

void hak_config_reset_for_test(void) {
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) hak_u32_store_relaxed(&value_is_set[i], 0);
  hak_u32_store_relaxed(&loaded, 0);
  hak_set_error_action(HAK_ERROR_ABORT);
}

#define ROWS HAK_VIEW_STRUCTURE("option", option_row) HAK_VIEW_FIELDS("option", option_row, name, initial)
#define ROOTS(ROOT) ROOT("options", rows) ROOT("option_values", values) ROOT("option_is_set", value_is_set)
HAK_VIEW_PART(hak_config_view, ROWS, ROOTS);
