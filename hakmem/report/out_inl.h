/* Private to the report: text that goes to a callback in pieces. */
#ifndef HAKMEM_REPORT_OUT_INL_H_
#define HAKMEM_REPORT_OUT_INL_H_

#include "hakmem/base/print.h"
#include "hakmem/report/report.h"

typedef struct hak_out {
  hak_report_write write;
  void* context;
  hak_print line;
} hak_out;

static inline void hak_out_init(hak_out* out, hak_report_write write, void* context) {
  out->write = write;
  out->context = context;
  hak_print_init(&out->line);
}

static inline void hak_out_flush(hak_out* out) {
  if (out->line.length != 0) out->write(out->context, out->line.text, out->line.length);
  hak_print_init(&out->line);
}

/* No piece that is added in one go is longer than what this leaves room for. */
static inline void hak_out_room(hak_out* out) {
  if (out->line.length > sizeof out->line.text / 2) hak_out_flush(out);
}

static inline void hak_out_str(hak_out* out, const char* text) {
  hak_out_room(out);
  hak_print_str(&out->line, text);
}

static inline void hak_out_u64(hak_out* out, uint64_t value) {
  hak_out_room(out);
  hak_print_u64(&out->line, value);
}

#endif /* HAKMEM_REPORT_OUT_INL_H_ */
