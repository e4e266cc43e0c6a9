#include "hakmem/config/config.h"
#include "hakmem/os/latency.h"
#include "hakmem/report/out_inl.h"

static void name_of(hak_out* out, const char* name) {
  hak_out_str(out, "\"");
  hak_out_str(out, name);
  hak_out_str(out, "\":");
}

static void number(hak_out* out, const char* name, uint64_t value) {
  name_of(out, name);
  hak_out_u64(out, value);
}

static void fields(hak_out* out, const void* figures, const hak_report_field* field, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (i != 0) hak_out_str(out, ",");
    number(out, field[i].name, hak_report_value(figures, &field[i]));
  }
}

static void classes(hak_out* out) {
  hak_report_classes now;
  hak_report_read_classes(&now);
  name_of(out, "classes");
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_out_str(out, c == 0 ? "[\n{" : ",\n{");
    number(out, "block_bytes", now.of[c].block_bytes);
    hak_out_str(out, ",");
    fields(out, &now.of[c], hak_report_class_fields, HAK_REPORT_CLASS_FIELDS);
    hak_out_str(out, "}");
  }
  hak_out_str(out, "],\n");
}

static void threads(hak_out* out) {
  name_of(out, "threads");
  hak_out_str(out, "[");
  hak_report_thread now;
  for (uint64_t i = 0; hak_report_read_thread(i, &now); i++) {
    hak_out_str(out, i == 0 ? "\n{" : ",\n{");
    fields(out, &now, hak_report_thread_fields, HAK_REPORT_THREAD_FIELDS);
    hak_out_str(out, "}");
  }
  hak_out_str(out, "],\n");
}

static void locks(hak_out* out) {
  name_of(out, "locks");
  hak_report_lock now;
  for (uint32_t i = 0; hak_report_read_lock(i, &now); i++) {
    hak_out_str(out, i == 0 ? "{\n" : ",\n");
    name_of(out, now.name);
    hak_out_str(out, "{");
    number(out, "waits", now.waits);
    hak_out_str(out, ",");
    number(out, "sleeps", now.sleeps);
    hak_out_str(out, "}");
  }
  hak_out_str(out, "},\n");
}

/* Of each cause: how many took less than so many nanoseconds, and not less than the row before says; 0: longer than all. */
static void latency(hak_out* out) {
  name_of(out, "latency");
  for (uint32_t i = 0; i < HAK_LATENCY_COUNT; i++) {
    const hak_latency_figures now = hak_latency_read((hak_latency_cause)i);
    hak_out_str(out, i == 0 ? "{\n" : ",\n");
    name_of(out, hak_latency_name((hak_latency_cause)i));
    hak_out_str(out, "{");
    number(out, "sum_ns", now.sum_ns);
    hak_out_str(out, ",\"below_ns\":[");
    for (uint32_t b = 0; b < HAK_LATENCY_BUCKETS; b++) {
      hak_out_str(out, b == 0 ? "[" : ",[");
      hak_out_u64(out, b + 1 < HAK_LATENCY_BUCKETS ? 1ull << (b + HAK_LATENCY_FIRST_SHIFT) : 0);
      hak_out_str(out, ",");
      hak_out_u64(out, now.buckets[b]);
      hak_out_str(out, "]");
    }
    hak_out_str(out, "]}");
  }
  hak_out_str(out, "},\n");
}

/* A text of the user's may hold any byte. */
static void quoted(hak_out* out, const char* text) {
  static const char digits[] = "0123456789abcdef";
  hak_out_str(out, "\"");
  for (; *text != 0; text++) {
    const unsigned char c = (unsigned char)*text;
    const char plain[] = {(char)c, 0};
    const char escaped[] = {'\\', (char)c, 0};
    const char code[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15], 0};
    const bool is_escaped = c == '"' || c == '\\';
    hak_out_str(out, is_escaped ? escaped : c < ' ' || c >= 0x7f ? code : plain);
  }
  hak_out_str(out, "\"");
}

static void options(hak_out* out) {
  name_of(out, "options");
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    hak_print value;
    hak_print_init(&value);
    hak_config_print_value(&value, (hak_option)i);
    hak_out_str(out, i == 0 ? "{\n" : ",\n");
    name_of(out, hak_config_name((hak_option)i));
    quoted(out, value.text);
  }
  hak_out_str(out, "}}\n");
}

void hak_report_json(hak_report_write write, void* context) {
  hak_out out;
  hak_stats now;
  hak_report_read_stats(&now);
  hak_out_init(&out, write, context);
  hak_out_str(&out, "{\"version\":\"" HAK_VERSION_TEXT "\",");
  number(&out, "stats_version", HAK_STATS_VERSION);
  hak_out_str(&out, ",\n\"stats\":{");
  fields(&out, &now, hak_report_stats_fields, HAK_REPORT_STATS_FIELDS);
  hak_out_str(&out, "},\n");
  classes(&out);
  threads(&out);
  locks(&out);
  latency(&out);
  options(&out);
  hak_out_flush(&out);
}
