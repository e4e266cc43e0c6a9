#include "hakmem/config/config.h"
#include "hakmem/ctl/ctl.h"
#include "hakmem/os/latency.h"

typedef struct list {
  hak_report_write write;
  void* context;
} list;

/* One line: prefix, name, what can be done and with what, meaning. */
static void line(const list* to, const char* prefix, const char* name, const char* kind, const char* meaning) {
  hak_print text;
  hak_print_init(&text);
  hak_print_str(&text, prefix);
  hak_print_str(&text, name);
  hak_print_str(&text, kind);
  hak_print_str(&text, meaning);
  hak_print_str(&text, "\n");
  to->write(to->context, text.text, text.length);
}

static void lines(const list* to, const char* prefix, const hak_report_field* fields, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) line(to, prefix, fields[i].name, " r number ", fields[i].help);
}

static void option_line(const list* to, hak_option option) {
  char name[64];
  const char* upper = hak_config_name(option);
  uint32_t i = 0;
  for (; upper[i] != 0 && i + 1 < sizeof name; i++) {
    name[i] = upper[i] >= 'A' && upper[i] <= 'Z' ? (char)(upper[i] - 'A' + 'a') : upper[i];
  }
  name[i] = 0;
  line(to, "options.", name, " rw text ", "As hakmem.conf(5) has it.");
}

void hak_ctl_list(hak_report_write write, void* context) {
  const list to = {write, context};
  line(&to, "", "version", " r text ", "Of the library.");
  line(&to, "", "epoch", " rw number ", "Looks taken at the figures; to write any number takes one more.");
  line(&to, "", "trim", " w number ", "hak_trim; the old value is the bytes given back.");
  line(&to, "", "thread.trim", " w number ", "Empties the caches of the calling thread; likewise.");
  line(&to, "", "latency.enabled", " rw number ", "1: slow paths are timed.");
  lines(&to, "stats.", hak_report_stats_fields, HAK_REPORT_STATS_FIELDS);
  lines(&to, "stats.bins.<n>.", hak_report_class_fields, HAK_REPORT_CLASS_FIELDS);
  lines(&to, "stats.threads.<n>.", hak_report_thread_fields, HAK_REPORT_THREAD_FIELDS);
  hak_report_lock lock;
  for (uint32_t i = 0; hak_report_read_lock(i, &lock); i++) {
    hak_print prefix;
    hak_print_init(&prefix);
    hak_print_str(&prefix, "stats.locks.");
    hak_print_str(&prefix, lock.name);
    line(&to, prefix.text, ".waits", " r number ", "Takes that found the lock held.");
    line(&to, prefix.text, ".sleeps", " r number ", "Takes that had to sleep.");
  }
  for (uint32_t i = 0; i < HAK_LATENCY_COUNT; i++) {
    hak_print prefix;
    hak_print_init(&prefix);
    hak_print_str(&prefix, "stats.latency.");
    hak_print_str(&prefix, hak_latency_name((hak_latency_cause)i));
    line(&to, prefix.text, ".count", " r number ", "Slow paths of that cause that were timed.");
    line(&to, prefix.text, ".sum_ns", " r number ", "Their time in nanoseconds.");
  }
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) option_line(&to, (hak_option)i);
}
