#include "hakmem/base/print.h"
#include "hakmem/report/report.h"
#include "hakmem/shared_pool/shared_pool.h"

static void xml_number(void (*write_piece)(void*, const char*), void* context, const char* before, uint64_t value,
                       const char* after) {
  hak_print piece;
  hak_print_init(&piece);
  hak_print_str(&piece, before);
  hak_print_u64(&piece, value);
  hak_print_str(&piece, after);
  write_piece(context, piece.text);
}

void hak_report_xml(void (*write_piece)(void* context, const char* text), void* context) {
  const hak_report_figures figures = hak_report_read_figures();
  uint64_t slabs[HAK_SIZE_CLASS_COUNT] = {0};
  uint64_t taken[HAK_SIZE_CLASS_COUNT] = {0};
  hak_shared_pool_count_classes(slabs, taken);
  write_piece(context, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    if (slabs[c] == 0) continue;
    const uint64_t block_bytes = hak_size_class_table[c].block_bytes;
    xml_number(write_piece, context, "  <size from=\"", c == 0 ? 1 : hak_size_class_table[c - 1].block_bytes + 1, "\"");
    xml_number(write_piece, context, " to=\"", block_bytes, "\"");
    xml_number(write_piece, context, " total=\"", taken[c] * block_bytes, "\"");
    xml_number(write_piece, context, " count=\"", taken[c], "\"/>\n");
  }
  write_piece(context, "</sizes>\n");
  xml_number(write_piece, context, "<total type=\"rest\" count=\"1\" size=\"", figures.releasable_bytes, "\"/>\n");
  xml_number(write_piece, context, "<total type=\"mmap\" count=\"", figures.live_whales, "\"");
  xml_number(write_piece, context, " size=\"", figures.live_whale_bytes, "\"/>\n");
  xml_number(write_piece, context, "<system type=\"current\" size=\"", figures.mapped_bytes, "\"/>\n");
  write_piece(context, "</heap>\n</malloc>\n");
}
