#include "hakmem/config/config.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "hakmem/base/checks.h"
#include "hakmem/config/config_inl.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

typedef enum option_type { TYPE_NUMBER, TYPE_FLAG, TYPE_WORD, TYPE_TEXT } option_type;

/* When a value takes effect; only the first makes a difference here. */
enum { WHEN_START, WHEN_NOW, WHEN_THREAD };

enum { NAME_BYTES = 24, WORDS_BYTES = 32, TEXT_POOL_BYTES = 16 * 1024 };

/* One row an option. Without pointers: nothing for the dynamic linker to relocate, and no page to write to. */
typedef struct option_row {
  uint64_t initial, min, max; /* of a text: the length */
  char name[NAME_BYTES];
  char words[WORDS_BYTES]; /* between zero bytes, with an empty one at the end */
  uint8_t type;
  uint8_t when;
} option_row;

#define HAK_NUMBER(name, unit, initial, min, max, when, meaning) \
  {(initial), (min), (max), #name, "", TYPE_NUMBER, WHEN_##when},
#define HAK_FLAG(name, initial, when, meaning) {(initial), 0, 1, #name, "", TYPE_FLAG, WHEN_##when},
#define HAK_WORD(name, words, when, meaning) {0, 0, 0, #name, words "\0", TYPE_WORD, WHEN_##when},
#define HAK_TEXT(name, max, when, meaning) {0, 0, (max), #name, "", TYPE_TEXT, WHEN_##when},
static const option_row rows[HAK_OPTION_COUNT] = {
#include "hakmem/config/options.h"
};
#undef HAK_NUMBER
#undef HAK_FLAG
#undef HAK_WORD
#undef HAK_TEXT

/* Names and words have room, and every value that hak_print has to take fits. */
#define HAK_NUMBER(name, unit, initial, min, max, when, meaning)                    \
  HAK_STATIC_ASSERT(sizeof #name <= NAME_BYTES, "NAME_BYTES: " #name);              \
  HAK_STATIC_ASSERT((min) <= (initial) && (initial) <= (max), "the range: " #name); \
  HAK_STATIC_ASSERT(sizeof meaning > 1, "the meaning: " #name);
#define HAK_FLAG(name, initial, when, meaning) HAK_NUMBER(name, COUNT, initial, 0, 1, when, meaning)
#define HAK_WORD(name, words, when, meaning)      \
  HAK_NUMBER(name, COUNT, 0, 0, 0, when, meaning) \
  HAK_STATIC_ASSERT(sizeof words "\0" <= WORDS_BYTES, "WORDS_BYTES: " #name);
#define HAK_TEXT(name, max, when, meaning)          \
  HAK_NUMBER(name, COUNT, 0, 0, max, when, meaning) \
  HAK_STATIC_ASSERT((max) <= 255, "the length: " #name);
#include "hakmem/config/options.h"
#undef HAK_NUMBER
#undef HAK_FLAG
#undef HAK_WORD
#undef HAK_TEXT

/* With their initial values from the start: the first malloc may come before anything has been loaded. */
#define HAK_NUMBER(name, unit, initial, min, max, when, meaning) {(initial)},
#define HAK_FLAG(name, initial, when, meaning) {(initial)},
#define HAK_WORD(name, words, when, meaning) {0},
#define HAK_TEXT(name, max, when, meaning) {0},
hak_atomic_u64 hak_config_values[HAK_OPTION_COUNT] HAK_START_DATA = {
#include "hakmem/config/options.h"
};
#undef HAK_NUMBER
#undef HAK_FLAG
#undef HAK_WORD
#undef HAK_TEXT

hak_atomic_u32 hak_config_cache_was_set HAK_START_DATA;

/* hak_config_source, for people. Sync: atomic */
static hak_atomic_u32 sources[HAK_OPTION_COUNT];

/* Texts that are or were in force, one behind the other. Sync: who has counted bytes of it up has them for itself; the
 * value that points there is stored afterwards. */
static char text_pool[TEXT_POOL_BYTES];
static hak_atomic_u32 text_pool_used;

static hak_atomic_u32 loaded HAK_START_DATA;

const char* hak_config_text(hak_option option) {
  const uint64_t at = hak_u64_load_acquire(&hak_config_values[option]); /* pairs with set_value */
  return at == 0 ? "" : (const char*)(uintptr_t)at;
}

const char* hak_config_name(hak_option option) { return rows[option].name; }

hak_config_source hak_config_source_of(hak_option option) {
  return (hak_config_source)hak_u32_load_relaxed(&sources[option]);
}

const char* hak_config_source_name(hak_config_source source) {
  static const char names[][20] = {"default",     "hak_conf",       "/etc/hakmem.conf", "HAKMEM_CONF",
                                   "environment", "hak_option_set", "control group"};
  return names[source];
}

/* --- finding --- */

hak_option hak_config_find(hak_slice name, hak_config_case letters) {
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    const char* own = rows[i].name;
    size_t at = 0;
    for (; at < name.length && own[at] != 0; at++) {
      const bool is_letter = own[at] >= 'A' && own[at] <= 'Z';
      const char wanted = letters == HAK_CONFIG_LOWER && is_letter ? (char)(own[at] - 'A' + 'a') : own[at];
      if (name.text[at] != wanted) break;
    }
    if (at == name.length && own[at] == 0) return (hak_option)i;
  }
  return HAK_OPTION_COUNT;
}

/* --- parsing --- */

/* Loops of our own instead of libc's functions: each of those would be a symbol that every process looks up. */

static uint64_t scale_of(char letter) {
  if (letter == 'k' || letter == 'K') return KIB;
  if (letter == 'm' || letter == 'M') return MIB;
  return letter == 'g' || letter == 'G' ? GIB : 0;
}

/* A whole decimal number with an optional k, m or g (powers of 1024). */
static bool parse_number(hak_slice slice, uint64_t* value) {
  uint64_t number = 0;
  size_t at = 0;
  for (; at < slice.length && slice.text[at] >= '0' && slice.text[at] <= '9'; at++) {
    if (__builtin_mul_overflow(number, 10, &number)) return false;
    if (__builtin_add_overflow(number, (uint64_t)(slice.text[at] - '0'), &number)) return false;
  }
  if (at == 0) return false;
  if (at == slice.length) {
    *value = number;
    return true;
  }
  const uint64_t scale = scale_of(slice.text[at]);
  return scale != 0 && at + 1 == slice.length && !__builtin_mul_overflow(number, scale, value);
}

static bool parse_flag(hak_slice slice, uint64_t* value) {
  *value = hak_slice_is_same(slice, "1") || hak_slice_is_same(slice, "true");
  return *value != 0 || hak_slice_is_same(slice, "0") || hak_slice_is_same(slice, "false");
}

static const char* next_word(const char* word) { return word + hak_slice_of(word).length + 1; }

static bool parse_word(const option_row* row, hak_slice slice, uint64_t* value) {
  *value = 0;
  for (const char* word = row->words; *word != 0; word = next_word(word)) {
    if (hak_slice_is_same(slice, word)) return true;
    ++*value;
  }
  return false;
}

/* Copies the text to the pool. *value: where it is, or 0 for the empty one. False: no room. */
static bool keep_text(hak_option option, hak_slice slice, uint64_t* value) {
  *value = 0;
  if (slice.length == 0) return true;
  if (hak_slice_is_same(slice, hak_config_text(option))) {
    *value = hak_config_get(option);
    return true;
  }
  const uint32_t bytes = (uint32_t)slice.length + 1;
  /* Looked at first, so that the count cannot run over however often somebody tries. */
  if (hak_u32_load_relaxed(&text_pool_used) + bytes > TEXT_POOL_BYTES) return false;
  const uint32_t at = hak_u32_fetch_add_relaxed(&text_pool_used, bytes);
  if (at + bytes > TEXT_POOL_BYTES) return false;
  char* text = text_pool + at;
  for (size_t i = 0; i < slice.length; i++) text[i] = slice.text[i];
  text[slice.length] = 0;
  *value = (uint64_t)(uintptr_t)text;
  return true;
}

/* --- setting --- */

/* Two threads that set it at once end with what is in force as the action too: whoever sets the action last has seen, with
 * the action before, the value before, and looks at it once more. */
static void follow_error_action(void) {
  uint64_t value;
  do {
    value = hak_config_get(HAK_OPTION_ON_ERROR);
    hak_set_error_action((hak_error_action)value);
  } while (hak_config_get(HAK_OPTION_ON_ERROR) != value);
}

static void set_value(hak_option option, uint64_t value, hak_config_source source) {
  hak_u64_store_release(&hak_config_values[option], value); /* pairs with hak_config_text */
  hak_u32_store_relaxed(&sources[option], source);
  if (option == HAK_OPTION_ON_ERROR) follow_error_action();
  if (option == HAK_OPTION_CACHE_BLOCKS || option == HAK_OPTION_REFILL_BLOCKS || option == HAK_OPTION_SPILL_BLOCKS) {
    hak_u32_store_relaxed(&hak_config_cache_was_set, 1);
  }
}

static bool has_zero_byte(hak_slice slice) {
  for (size_t i = 0; i < slice.length; i++) {
    if (slice.text[i] == 0) return true;
  }
  return false;
}

static int parse_value(hak_option option, hak_slice slice, uint64_t* value) {
  const option_row* row = &rows[option];
  switch ((option_type)row->type) {
    case TYPE_NUMBER: return parse_number(slice, value) && *value >= row->min && *value <= row->max ? 0 : EINVAL;
    case TYPE_FLAG: return parse_flag(slice, value) ? 0 : EINVAL;
    case TYPE_WORD: return parse_word(row, slice, value) ? 0 : EINVAL;
    case TYPE_TEXT: break;
  }
  if (slice.length > row->max || has_zero_byte(slice)) return EINVAL;
  return keep_text(option, slice, value) ? 0 : ENOMEM;
}

int hak_config_apply(hak_option option, hak_slice slice, hak_config_source source) {
  uint64_t value = 0;
  const int error = parse_value(option, slice, &value);
  if (error == 0) set_value(option, value, source);
  return error;
}

int hak_config_set(const char* name, const char* value) {
  const hak_option option = hak_config_find(hak_slice_of(name), HAK_CONFIG_LOWER);
  if (option == HAK_OPTION_COUNT) return ENOENT;
  if (rows[option].when == WHEN_START) return EPERM;
  return hak_config_apply(option, hak_slice_of(value), HAK_CONFIG_CALL);
}

/* --- showing --- */

static const char* word_at(const option_row* row, uint64_t index) {
  const char* word = row->words;
  for (; index != 0; index--) word = next_word(word);
  return word;
}

void hak_config_print_value(hak_print* out, hak_option option) {
  const option_row* row = &rows[option];
  if (row->type == TYPE_TEXT) {
    const char* text = hak_config_text(option);
    hak_print_slice(out, hak_slice_of(text), row->max);
  } else if (row->type == TYPE_WORD) {
    hak_print_str(out, word_at(row, hak_config_get(option)));
  } else {
    hak_print_u64(out, hak_config_get(option));
  }
}

int hak_config_read(const char* name, char* out, size_t size) {
  const hak_option option = hak_config_find(hak_slice_of(name), HAK_CONFIG_LOWER);
  if (option == HAK_OPTION_COUNT) return ENOENT;
  if (rows[option].type == TYPE_TEXT) { /* as it is, whatever a terminal would make of it */
    const hak_slice text = hak_slice_of(hak_config_text(option));
    if (text.length >= size) return ERANGE;
    memcpy(out, text.text, text.length + 1);
    return 0;
  }
  hak_print value;
  hak_print_init(&value);
  hak_config_print_value(&value, option);
  if (value.length >= size) return ERANGE;
  memcpy(out, value.text, value.length + 1);
  return 0;
}

void hak_config_print_reason(hak_print* out, hak_option option, int error) {
  const option_row* row = &rows[option];
  if (error == ENOMEM) {
    hak_print_str(out, "too many texts");
  } else if (row->type == TYPE_WORD) {
    hak_print_str(out, "not one of");
    for (const char* word = row->words; *word != 0; word = next_word(word)) {
      hak_print_str(out, word == row->words ? " " : ", ");
      hak_print_str(out, word);
    }
  } else if (row->type == TYPE_FLAG) {
    hak_print_str(out, "not 0 or 1");
  } else if (row->type == TYPE_TEXT) {
    hak_print_str(out, "not a text of at most ");
    hak_print_u64(out, row->max);
    hak_print_str(out, " bytes");
  } else {
    hak_print_str(out, "not a number from ");
    hak_print_u64(out, row->min);
    hak_print_str(out, " to ");
    hak_print_u64(out, row->max);
  }
}

/* --- loading --- */

/* The program's, where it has one: hakmem.h. */
extern const char* hak_conf __attribute__((weak, visibility("default")));

bool hak_config_load(char** environment) {
  if (hak_u32_load_relaxed(&loaded)) return true;
  const hak_config_origin origin = {.linked = &hak_conf == NULL ? NULL : hak_conf,
                                    .file_path = "/etc/hakmem.conf",
                                    .environment = environment,
                                    .is_secure = getauxval(AT_SECURE) != 0};
  return hak_config_load_from(&origin);
}

bool hak_config_load_as(char** environment, bool is_secure) {
  return hak_config_load_from(&(hak_config_origin){.environment = environment, .is_secure = is_secure});
}

bool hak_config_load_from(const hak_config_origin* origin) {
  if (hak_u32_load_relaxed(&loaded)) return true;
  if (origin->environment == NULL) return false; /* libc has not started yet */
  if (hak_u32_exchange_seq(&loaded, 1)) return true;
  const char* linked = origin->linked;
  if (linked != NULL) hak_config_load_list(hak_slice_of(linked), HAK_CONFIG_LINKED);
  if (origin->file_path != NULL) hak_config_load_file(origin->file_path);
  if (!origin->is_secure) hak_config_load_environment(origin->environment);
  return true;
}

/* --- for tests --- */

void hak_config_set_default(hak_option option, uint64_t value) {
  if (hak_config_source_of(option) == HAK_CONFIG_DEFAULT) set_value(option, value, HAK_CONFIG_LIMITS);
}

void hak_config_set_for_test(hak_option option, uint64_t value) { set_value(option, value, HAK_CONFIG_CALL); }

void hak_config_reset_for_test(void) {
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    hak_u64_store_relaxed(&hak_config_values[i], rows[i].initial);
    hak_u32_store_relaxed(&sources[i], HAK_CONFIG_DEFAULT);
  }
  hak_u32_store_relaxed(&hak_config_cache_was_set, 0);
  hak_u32_store_relaxed(&text_pool_used, 0);
  hak_u32_store_relaxed(&loaded, 0);
  hak_set_error_action(HAK_ERROR_ABORT);
}

#define ROWS                                                           \
  HAK_VIEW_STRUCTURE("option", option_row)                             \
  HAK_VIEW_FIELDS("option", option_row, initial, min, max, type, when) \
  HAK_VIEW_ARRAYS("option", option_row, name, words)
#define ROOTS(ROOT) ROOT("options", rows) ROOT("option_values", hak_config_values) ROOT("option_sources", sources)
HAK_VIEW_PART(hak_config_view, ROWS, ROOTS);
