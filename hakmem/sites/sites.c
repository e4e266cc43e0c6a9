#include "hakmem/sites/sites.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/mapping.h"
#include "hakmem/os/os.h"
#include "hakmem/sites/rules.h"
#include "hakmem/sites/symbols_inl.h"

enum {
  PROBES = 16, /* places that a site may have */
  ADDRESS_BITS = 48,
  FILE_BYTES = 64 * 1024 /* what hak_metadata_alloc gives at most */
};

/* A function that a rule names, in one file. */
typedef struct site_range {
  uint64_t begin, end; /* bytes of the file */
  uint32_t module;
  uint32_t rule;
} site_range;

/* What looking up takes; made where there are rules. Sync: lock of the named heaps, but for what is constant */
typedef struct lookup {
  hak_site_rules* rules; /* constant */
  site_range* ranges;
  uint32_t range_count;
  uint32_t module_count;
  uint64_t modules[HAK_SITES_MODULES]; /* hashes of their paths */
  hak_mapping mapping;
} lookup;

static hak_atomic_u64* table;                           /* address | class << ADDRESS_BITS; 0: unused. Sync: atomic */
static hak_heap* class_heaps[HAK_SITE_CLASSES_MAX + 1]; /* constant once routing has begun; 0: NULL */
static lookup* at;
static hak_sites_figures figures;

const hak_sites_figures* hak_sites_read_figures(void) { return &figures; }

/* --- looking a new site up --- */

static uint64_t hash_text(const char* text) {
  uint64_t hash = 14695981039346656037ull;
  for (; *text != 0; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211ull;
  return hash;
}

/* True for the function that a rule names, and for parts that the compiler has split off it: name.cold, name.part.0. */
static bool is_function(hak_slice wanted, hak_slice name) {
  size_t same = 0;
  while (same < wanted.length && same < name.length && name.text[same] == wanted.text[same]) same++;
  return same == wanted.length && (same == name.length || name.text[same] == '.');
}

static void note_function_locked(void* context, hak_slice name, uint64_t begin, uint64_t end) {
  (void)context;
  for (uint32_t i = 0; i < at->rules->count; i++) {
    const hak_site_rule* rule = &at->rules->rows[i];
    if (rule->function.length == 0 || !is_function(rule->function, name)) continue;
    if (!hak_site_rules_is_module(rule->module, at->mapping.path)) continue;
    if (at->range_count == HAK_SITES_RANGES) {
      hak_u64_fetch_add_relaxed(&figures.unread, 1);
      return;
    }
    at->ranges[at->range_count++] = (site_range){begin, end, at->module_count, i};
  }
}

/* The number of the module at at->mapping, whose functions are known then; HAK_SITES_MODULES: there is no room. */
static uint32_t module_locked(void) {
  const uint64_t hash = hash_text(at->mapping.path);
  uint32_t module = 0;
  while (module < at->module_count && at->modules[module] != hash) module++;
  if (module < at->module_count || module == HAK_SITES_MODULES) return module;
  if (!hak_symbols_read(at->mapping.path, note_function_locked, NULL)) hak_u64_fetch_add_relaxed(&figures.unread, 1);
  at->modules[at->module_count++] = hash;
  return module;
}

/* The first rule that names the function around byte `offset` of a module; the count of rules: none does. */
static uint32_t function_rule_locked(uint32_t module, uint64_t offset) {
  uint32_t first = at->rules->count;
  for (uint32_t i = 0; i < at->range_count; i++) {
    const site_range* range = &at->ranges[i];
    if (range->module == module && offset - range->begin < range->end - range->begin && range->rule < first) {
      first = range->rule;
    }
  }
  return first;
}

static uint32_t offset_rule(const hak_mapping* mapping) {
  const hak_site_rules* rules = at->rules;
  for (uint32_t i = 0; i < rules->count; i++) {
    const hak_site_rule* rule = &rules->rows[i];
    if (rule->function.length == 0 && rule->offset == mapping->offset &&
        hak_site_rules_is_module(rule->module, mapping->path)) {
      return i;
    }
  }
  return rules->count;
}

static uint32_t class_locked(const void* caller) {
  if (!hak_mapping_find(caller, &at->mapping)) {
    hak_u64_fetch_add_relaxed(&figures.nowhere, 1);
    return 0;
  }
  uint32_t rule = offset_rule(&at->mapping);
  if (at->rules->function_count != 0) {
    /* The call is before what it returns to, which may be another function. */
    const uint32_t other = function_rule_locked(module_locked(), at->mapping.offset - 1);
    if (other < rule) rule = other;
  }
  return rule == at->rules->count ? 0 : at->rules->rows[rule].class_number;
}

/* --- the table --- */

static uint32_t place_of(uint64_t address) {
  return (uint32_t)((address * 0x9e3779b97f4a7c15ull) >> 51) % HAK_SITES_TABLE;
}

/* Several threads may look the same new site up, with the same outcome: the first has it counted. */
static HAK_SLOW uint32_t add_site(const void* caller, uint32_t place) {
  const int saved_errno = errno;
  const uint64_t address = (uint64_t)(uintptr_t)caller;
  hak_lock_take(hak_heap_named_lock());
  hak_atomic_u64* word = &table[place];
  uint64_t present = hak_u64_load_relaxed(word);
  if (present == 0) {
    const uint32_t found = class_locked(caller);
    present = address | (uint64_t)found << ADDRESS_BITS;
    hak_u64_store_relaxed(word, present);
    hak_u64_fetch_add_relaxed(&figures.known, 1);
    if (found != 0) hak_u64_fetch_add_relaxed(&figures.routed, 1);
  }
  hak_lock_give(hak_heap_named_lock());
  errno = saved_errno;
  const bool is_own = (present & ((1ull << ADDRESS_BITS) - 1)) == address;
  return is_own ? (uint32_t)(present >> ADDRESS_BITS) : UINT32_MAX;
}

static hak_heap* route(const void* caller) {
  const uint64_t address = (uint64_t)(uintptr_t)caller;
  if (HAK_UNLIKELY(address == 0 || address >> ADDRESS_BITS != 0)) return NULL;
  const uint32_t first = place_of(address);
  for (uint32_t i = 0; i < PROBES; i++) {
    const uint32_t place = (first + i) % HAK_SITES_TABLE;
    const uint64_t word = hak_u64_load_relaxed(&table[place]);
    if (HAK_LIKELY((word ^ address) << (64 - ADDRESS_BITS) == 0)) return class_heaps[word >> ADDRESS_BITS];
    if (word != 0) continue;
    const uint32_t found = add_site(caller, place);
    if (found != UINT32_MAX) return class_heaps[found]; /* else another site was faster */
  }
  hak_u64_fetch_add_relaxed(&figures.no_room, 1);
  return NULL;
}

/* --- start --- */

static void complain(const char* what) {
  const char* path = hak_config_text(HAK_OPTION_SITE_RULES);
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: no site rules: ");
  hak_print_str(&line, what);
  hak_print_slice(&line, hak_slice_of(path), 255);
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
}

static bool make_heaps(const hak_site_rules* rules) {
  for (uint32_t i = 1; i < rules->class_count; i++) {
    char name[HAK_HEAP_NAME_BYTES];
    hak_slice_copy(rules->classes[i], name);
    class_heaps[i] = hak_heap_make_named(name);
    if (class_heaps[i] == NULL) return false;
  }
  return true;
}

static bool make_tables(void) {
  at = (lookup*)hak_metadata_alloc(sizeof(lookup), 64);
  table = (hak_atomic_u64*)hak_metadata_alloc(HAK_SITES_TABLE * sizeof table[0], 64);
  if (at == NULL || table == NULL) return false;
  at->ranges = (site_range*)hak_metadata_alloc(HAK_SITES_RANGES * sizeof(site_range), 64);
  at->rules = (hak_site_rules*)hak_metadata_alloc(sizeof(hak_site_rules), 64);
  return at->ranges != NULL && at->rules != NULL;
}

HAK_STATIC_ASSERT(sizeof(hak_site_rules) <= 64 * 1024, "what hak_metadata_alloc gives at most");
HAK_STATIC_ASSERT((int)HAK_SITE_CLASS_BYTES_MAX < (int)HAK_HEAP_NAME_BYTES, "a class names its heap");

/* Of a file in memory that was zero: bytes of zero may stand in it. */
static size_t length_of(const char* text) {
  size_t length = FILE_BYTES;
  while (length != 0 && text[length - 1] == 0) length--;
  return length;
}

/* Apart: what every process runs when it starts is little. */
static HAK_SLOW void start(const char* path) {
  char* text = (char*)hak_metadata_alloc(FILE_BYTES, 64);
  if (text == NULL || !make_tables()) {
    complain("out of memory for ");
    return;
  }
  if (!hak_os_read_file(path, text, FILE_BYTES)) {
    complain("cannot read ");
    return;
  }
  const size_t length = length_of(text);
  hak_site_rules_read(at->rules, path, (hak_slice){text, length}, length == FILE_BYTES - 1);
  hak_u64_store_relaxed(&figures.rules, at->rules->count);
  if (at->rules->count == 0) return;
  if (!make_heaps(at->rules)) {
    complain("out of memory for ");
    return;
  }
  hak_instrument_hook_routes(route);
  hak_instrument_want(HAK_INSTRUMENT_ROUTE, true);
}

void hak_sites_start(void) {
  const char* path = hak_config_text(HAK_OPTION_SITE_RULES);
  if (*path != 0) start(path);
}

void hak_sites_reset_for_test(void) {
  memset(class_heaps, 0, sizeof class_heaps);
  memset(&figures, 0, sizeof figures);
}

#define ROWS                                            \
  HAK_VIEW_STRUCTURE("site_figures", hak_sites_figures) \
  HAK_VIEW_FIELDS("site_figures", hak_sites_figures, rules, known, routed, nowhere, no_room, unread)
#define ROOTS(ROOT) ROOT("site_figures", figures)
HAK_VIEW_PART(hak_sites_view, ROWS, ROOTS);
