#include "hakmem/os/latency.h"
#include "hakmem/report/out_inl.h"

/* Threads that have series of their own; the others are in the sums only. */
enum { THREADS_SHOWN = 64 };

static bool same_text(const char* a, const char* b) {
  while (*a != 0 && *a == *b) a++, b++;
  return *a == *b;
}

static bool ends_in_bytes(const char* name) {
  static const char end[] = "_bytes";
  size_t length = 0;
  while (name[length] != 0) length++;
  return length >= sizeof end && same_text(name + length - (sizeof end - 1), end);
}

/* The text before the first sample of a family. */
static void family(hak_out* out, const char* name, const char* type, const char* help) {
  hak_out_str(out, "# TYPE hakmem_");
  hak_out_str(out, name);
  hak_out_str(out, " ");
  hak_out_str(out, type);
  if (ends_in_bytes(name)) {
    hak_out_str(out, "\n# UNIT hakmem_");
    hak_out_str(out, name);
    hak_out_str(out, " bytes");
  }
  hak_out_str(out, "\n# HELP hakmem_");
  hak_out_str(out, name);
  hak_out_str(out, " ");
  hak_out_str(out, help);
  hak_out_str(out, "\n");
}

static void family_of(hak_out* out, const hak_report_field* field) {
  family(out, field->family, field->is_counter ? "counter" : "gauge", field->help);
}

/* "hakmem_NAME" or "hakmem_NAME_total". */
static void sample_name(hak_out* out, const hak_report_field* field) {
  hak_out_str(out, "hakmem_");
  hak_out_str(out, field->family);
  if (field->is_counter) hak_out_str(out, "_total");
}

static void sample_value(hak_out* out, uint64_t value) {
  hak_out_str(out, " ");
  hak_out_u64(out, value);
  hak_out_str(out, "\n");
}

static void labelled(hak_out* out, const hak_report_field* field, const char* label, uint64_t label_value,
                     uint64_t value) {
  sample_name(out, field);
  hak_out_str(out, "{");
  hak_out_str(out, label);
  hak_out_str(out, "=\"");
  hak_out_u64(out, label_value);
  hak_out_str(out, "\"}");
  sample_value(out, value);
}

static void totals(hak_out* out) {
  hak_stats now;
  hak_report_read_stats(&now);
  const char* last = "";
  for (uint32_t i = 0; i < HAK_REPORT_STATS_FIELDS; i++) {
    const hak_report_field* field = &hak_report_stats_fields[i];
    if (field->family[0] == 0) continue;
    if (!same_text(field->family, last)) family_of(out, field);
    last = field->family;
    sample_name(out, field);
    if (field->labels[0] != 0) {
      hak_out_str(out, "{");
      hak_out_str(out, field->labels);
      hak_out_str(out, "}");
    }
    sample_value(out, hak_report_value(&now, field));
  }
}

static void classes(hak_out* out) {
  hak_report_classes now;
  hak_report_read_classes(&now);
  for (uint32_t i = 0; i < HAK_REPORT_CLASS_FIELDS; i++) {
    const hak_report_field* field = &hak_report_class_fields[i];
    family_of(out, field);
    for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
      const hak_report_class* row = &now.of[c];
      if (row->slabs == 0 && row->refills == 0) continue;
      labelled(out, field, "block_bytes", row->block_bytes, hak_report_value(row, field));
    }
  }
}

/* Thread after thread where the format wants figure after figure: each is looked at once a figure. */
static void threads(hak_out* out) {
  for (uint32_t i = 0; i < HAK_REPORT_THREAD_FIELDS; i++) {
    const hak_report_field* field = &hak_report_thread_fields[i];
    if (field->family[0] == 0) continue;
    family_of(out, field);
    hak_report_thread one;
    for (uint64_t t = 0; t < THREADS_SHOWN && hak_report_read_thread(t, &one); t++) {
      labelled(out, field, "heap", t, hak_report_value(&one, field));
    }
  }
}

static void locks(hak_out* out) {
  family(out, "lock_waits", "counter", "Takes of locks that found them held.");
  hak_report_lock now;
  for (uint32_t i = 0; hak_report_read_lock(i, &now); i++) {
    hak_out_str(out, "hakmem_lock_waits_total{lock=\"");
    hak_out_str(out, now.name);
    hak_out_str(out, "\"}");
    sample_value(out, now.waits);
  }
  family(out, "lock_sleeps", "counter", "Takes of locks that had to sleep.");
  for (uint32_t i = 0; hak_report_read_lock(i, &now); i++) {
    hak_out_str(out, "hakmem_lock_sleeps_total{lock=\"");
    hak_out_str(out, now.name);
    hak_out_str(out, "\"}");
    sample_value(out, now.sleeps);
  }
}

/* Nanoseconds as seconds, without loss. */
static void seconds(hak_out* out, uint64_t ns) {
  hak_out_u64(out, ns / 1000000000);
  hak_out_str(out, ".");
  for (uint64_t part = 100000000, rest = ns % 1000000000; part != 0; part /= 10) hak_out_u64(out, rest / part % 10);
}

static void histogram(hak_out* out, hak_latency_cause cause) {
  const hak_latency_figures now = hak_latency_read(cause);
  uint64_t count = 0;
  for (uint32_t b = 0; b < HAK_LATENCY_BUCKETS; b++) {
    count += now.buckets[b];
    hak_out_str(out, "hakmem_slow_path_seconds_bucket{cause=\"");
    hak_out_str(out, hak_latency_name(cause));
    hak_out_str(out, "\",le=\"");
    if (b + 1 < HAK_LATENCY_BUCKETS) {
      seconds(out, 1ull << (b + HAK_LATENCY_FIRST_SHIFT));
    } else {
      hak_out_str(out, "+Inf");
    }
    hak_out_str(out, "\"}");
    sample_value(out, count);
  }
  hak_out_str(out, "hakmem_slow_path_seconds_count{cause=\"");
  hak_out_str(out, hak_latency_name(cause));
  hak_out_str(out, "\"}");
  sample_value(out, count);
  hak_out_str(out, "hakmem_slow_path_seconds_sum{cause=\"");
  hak_out_str(out, hak_latency_name(cause));
  hak_out_str(out, "\"} ");
  seconds(out, now.sum_ns);
  hak_out_str(out, "\n");
}

static void latency(hak_out* out) {
  if (!hak_latency_is_switched_on()) return;
  hak_out_str(out,
              "# TYPE hakmem_slow_path_seconds histogram\n# UNIT hakmem_slow_path_seconds seconds\n"
              "# HELP hakmem_slow_path_seconds How long slow paths took, by cause.\n");
  for (uint32_t i = 0; i < HAK_LATENCY_COUNT; i++) histogram(out, (hak_latency_cause)i);
}

void hak_report_openmetrics(hak_report_write write, void* context) {
  hak_out out;
  hak_out_init(&out, write, context);
  hak_out_str(&out,
              "# TYPE hakmem info\n# HELP hakmem The library.\nhakmem_info{version=\"" HAK_VERSION_TEXT "\"} 1\n");
  totals(&out);
  classes(&out);
  threads(&out);
  locks(&out);
  latency(&out);
  hak_out_str(&out, "# EOF\n");
  hak_out_flush(&out);
}
