#include "hakmem/ctl/ctl.h"

#include <errno.h>
#include <string.h>

#include "hakmem/config/config.h"
#include "hakmem/os/latency.h"

enum { TEXT_BYTES = sizeof((hak_print*)0)->text };

static struct {
  hak_lock lock;
  uint64_t epoch; /* 0: no look yet. Sync: lock, all of it */
  hak_stats stats;
  hak_report_classes classes;
} present;

hak_lock* hak_ctl_lock(void) { return &present.lock; }

/* --- names --- */

/* What follows `prefix` in `text`, or NULL. */
static const char* after(const char* text, const char* prefix) {
  while (*prefix != 0) {
    if (*text++ != *prefix++) return NULL;
  }
  return text;
}

static bool is_same(const char* a, const char* b) {
  const char* rest = after(a, b);
  return rest != NULL && *rest == 0;
}

/* The number at the beginning of *text, which is moved behind the point that follows it. */
static bool take_number(const char** text, uint64_t* number) {
  const char* at = *text;
  *number = 0;
  if (*at < '0' || *at > '9') return false;
  for (; *at >= '0' && *at <= '9'; at++) {
    if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, (uint64_t)(*at - '0'), number)) {
      return false;
    }
  }
  if (*at != '.') return false;
  *text = at + 1;
  return true;
}

static const hak_report_field* find_field(const hak_report_field* fields, uint32_t count, const char* name) {
  for (uint32_t i = 0; i < count; i++) {
    if (is_same(name, fields[i].name)) return &fields[i];
  }
  return NULL;
}

/* --- figures --- */

static void look_locked(void) {
  hak_report_read_stats(&present.stats);
  hak_report_read_classes(&present.classes);
  present.epoch++;
}

static uint64_t value_of_epoch(const void* figures, const hak_report_field* field) {
  hak_lock_take(&present.lock);
  if (present.epoch == 0) look_locked();
  const uint64_t value = hak_report_value(figures, field);
  hak_lock_give(&present.lock);
  return value;
}

static bool read_total(const char* name, uint64_t* value) {
  const hak_report_field* field = find_field(hak_report_stats_fields, HAK_REPORT_STATS_FIELDS, name);
  if (field != NULL) *value = value_of_epoch(&present.stats, field);
  return field != NULL;
}

static bool read_class(const char* name, uint64_t* value) {
  uint64_t block_bytes;
  if (!take_number(&name, &block_bytes)) return false;
  const hak_report_field* field = find_field(hak_report_class_fields, HAK_REPORT_CLASS_FIELDS, name);
  for (uint32_t c = 0; field != NULL && c < HAK_SIZE_CLASS_COUNT; c++) {
    if (hak_size_class_table[c].block_bytes != block_bytes) continue;
    *value = value_of_epoch(&present.classes.of[c], field);
    return true;
  }
  return false;
}

static bool read_thread(const char* name, uint64_t* value) {
  uint64_t index;
  hak_report_thread one;
  if (!take_number(&name, &index) || !hak_report_read_thread(index, &one)) return false;
  const hak_report_field* field = find_field(hak_report_thread_fields, HAK_REPORT_THREAD_FIELDS, name);
  if (field != NULL) *value = hak_report_value(&one, field);
  return field != NULL;
}

static bool read_lock(const char* name, uint64_t* value) {
  hak_report_lock one;
  for (uint32_t i = 0; hak_report_read_lock(i, &one); i++) {
    const char* rest = after(name, one.name);
    if (rest == NULL) continue;
    if (is_same(rest, ".waits")) *value = one.waits;
    if (is_same(rest, ".sleeps")) *value = one.sleeps;
    return is_same(rest, ".waits") || is_same(rest, ".sleeps");
  }
  return false;
}

static bool read_latency(const char* name, uint64_t* value) {
  for (uint32_t i = 0; i < HAK_LATENCY_COUNT; i++) {
    const char* rest = after(name, hak_latency_name((hak_latency_cause)i));
    if (rest == NULL || *rest != '.') continue;
    const hak_latency_figures now = hak_latency_read((hak_latency_cause)i);
    *value = 0;
    if (is_same(rest, ".sum_ns")) *value = now.sum_ns;
    for (uint32_t b = 0; is_same(rest, ".count") && b < HAK_LATENCY_BUCKETS; b++) *value += now.buckets[b];
    return is_same(rest, ".sum_ns") || is_same(rest, ".count");
  }
  return false;
}

/* `name` is what follows "stats.". */
static bool read_figure(const char* name, uint64_t* value) {
  const char* rest = after(name, "bins.");
  if (rest != NULL) return read_class(rest, value);
  if ((rest = after(name, "threads.")) != NULL) return read_thread(rest, value);
  if ((rest = after(name, "locks.")) != NULL) return read_lock(rest, value);
  if ((rest = after(name, "latency.")) != NULL) return read_latency(rest, value);
  return read_total(name, value);
}

/* --- values --- */

typedef struct access {
  void* old_value;
  size_t* old_size;
  const void* new_value;
  size_t new_size;
} access;

static bool wants_old(const access* a) { return a->old_value != NULL || a->old_size != NULL; }

/* 0 where there is room for `size` bytes, or nobody wants them. */
static int check_room(const access* a, size_t size) {
  if (!wants_old(a)) return 0;
  if (a->old_size == NULL) return EINVAL;
  const bool fits = a->old_value != NULL && *a->old_size >= size;
  if (!fits) *a->old_size = size;
  return fits ? 0 : EINVAL;
}

static void give_old(const access* a, const void* value, size_t size) {
  if (!wants_old(a)) return;
  memcpy(a->old_value, value, size);
  *a->old_size = size;
}

/* The number to write; EINVAL: it is none. */
static int new_number(const access* a, uint64_t* number) {
  if (a->new_size != sizeof *number) return EINVAL;
  memcpy(number, a->new_value, sizeof *number);
  return 0;
}

static int read_only_number(const access* a, uint64_t value) {
  if (a->new_value != NULL) return EPERM;
  const int error = check_room(a, sizeof value);
  if (error == 0) give_old(a, &value, sizeof value);
  return error;
}

static int read_only_text(const access* a, const char* text, size_t size) {
  if (a->new_value != NULL) return EPERM;
  const int error = check_room(a, size);
  if (error == 0) give_old(a, text, size);
  return error;
}

static int access_epoch(const access* a) {
  uint64_t number = 0;
  int error = check_room(a, sizeof number);
  if (error == 0 && a->new_value != NULL) error = new_number(a, &number);
  if (error != 0) return error;
  hak_lock_take(&present.lock);
  const uint64_t before = present.epoch;
  if (a->new_value != NULL) look_locked();
  hak_lock_give(&present.lock);
  give_old(a, &before, sizeof before);
  return 0;
}

static int access_latency(const access* a) {
  uint64_t number = 0;
  const uint64_t before = hak_latency_is_switched_on();
  int error = check_room(a, sizeof before);
  if (error == 0 && a->new_value != NULL) error = new_number(a, &number);
  if (error == 0 && number > 1) error = EINVAL;
  if (error != 0) return error;
  give_old(a, &before, sizeof before);
  if (a->new_value != NULL) hak_latency_switch(number != 0);
  return 0;
}

/* What it returns is the old value. */
static int act(const access* a, size_t (*action)(void)) {
  uint64_t number = 0;
  if (a->new_value == NULL) return EPERM;
  int error = check_room(a, sizeof number);
  if (error == 0) error = new_number(a, &number);
  if (error != 0) return error;
  number = action();
  give_old(a, &number, sizeof number);
  return 0;
}

static int access_option(const access* a, const char* name) {
  char before[TEXT_BYTES];
  int error = hak_config_read(name, before, sizeof before);
  if (error != 0) return error == ERANGE ? EINVAL : error;
  hak_print measure;
  hak_print_init(&measure);
  hak_print_str(&measure, before);
  const size_t size = measure.length + 1;
  error = check_room(a, size);
  if (error == 0 && a->new_value != NULL) {
    const char* text = (const char*)a->new_value;
    if (a->new_size == 0 || a->new_size > TEXT_BYTES || text[a->new_size - 1] != 0) return EINVAL;
    error = hak_config_set(name, text);
  }
  if (error == 0) give_old(a, before, size);
  return error;
}

static int find(const hak_ctl_actions* actions, const char* name, const access* a) {
  if (is_same(name, "version")) return read_only_text(a, HAK_VERSION_TEXT, sizeof HAK_VERSION_TEXT);
  if (is_same(name, "epoch")) return access_epoch(a);
  if (is_same(name, "latency.enabled")) return access_latency(a);
  if (is_same(name, "trim")) return act(a, actions->trim);
  if (is_same(name, "thread.trim")) return act(a, actions->trim_thread);
  const char* rest = after(name, "options.");
  if (rest != NULL) return access_option(a, rest);
  rest = after(name, "stats.");
  uint64_t value = 0;
  if (rest == NULL || !read_figure(rest, &value)) return ENOENT;
  return read_only_number(a, value);
}

int hak_ctl_access(const hak_ctl_actions* actions, const char* name, void* old_value, size_t* old_size,
                   const void* new_value, size_t new_size) {
  const access a = {old_value, old_size, new_value, new_size};
  const int saved_errno = errno;
  const int error = name == NULL ? ENOENT : find(actions, name, &a);
  errno = saved_errno;
  return error;
}
