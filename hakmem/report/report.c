#include "hakmem/report/report.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/base/checks.h"
#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/os.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/whale_cache/whale_cache.h"
#include <hakmem/hakmem.h>

static uint64_t count_heaps(void) {
  uint64_t count = 0;
  for (const hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) count++;
  return count;
}

hak_report_figures hak_report_read_figures(void) {
  const hak_shared_pool_figures pool = hak_shared_pool_read_figures();
  const hak_whale_cache_figures whales = hak_whale_cache_read_figures();
  hak_report_figures out;
  out.mapped_bytes = pool.superslabs * HAK_SUPERSLAB_BYTES + whales.live_bytes + whales.cached_bytes;
  out.live_bytes = pool.live_bytes + whales.live_bytes;
  out.live_whales = whales.live;
  out.live_whale_bytes = whales.live_bytes;
  out.releasable_bytes =
      pool.dirty_free_units * HAK_UNIT_BYTES + pool.empty_superslabs * HAK_SUPERSLAB_BYTES + whales.cached_bytes;
  out.metadata_bytes = hak_metadata_used_bytes() + hak_registry_leaf_bytes();
  out.heaps = count_heaps();
  out.parked_heaps = hak_heap_parked_count();
  return out;
}

static void size_line(int fd, const char* label, uint64_t size_bytes, const char* note) {
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, label);
  hak_print_size(&line, size_bytes);
  hak_print_str(&line, note);
  hak_print_str(&line, "\n");
  hak_print_flush(&line, fd);
}

/* One line of label and count pairs; ends at a NULL label. */
typedef struct count_pair {
  const char* label;
  uint64_t count;
} count_pair;

static void count_line(int fd, const char* title, const count_pair* pairs) {
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, title);
  for (; pairs->label != NULL; pairs++) {
    hak_print_str(&line, pairs->label);
    hak_print_u64(&line, pairs->count);
  }
  hak_print_str(&line, "\n");
  hak_print_flush(&line, fd);
}

/* All options are longer than the buffer. One with the longest name, text and source still fits behind so much. */
enum { HELLO_FULL_BYTES = sizeof((hak_print*)0)->text - 310 };

void hak_report_hello(int fd) {
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem " HAK_VERSION_TEXT " active:");
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    const hak_option option = (hak_option)i;
    hak_print_str(&line, " ");
    hak_print_str(&line, hak_config_name(option));
    hak_print_str(&line, "=");
    hak_config_print_value(&line, option);
    const hak_config_source source = hak_config_source_of(option);
    if (source != HAK_CONFIG_DEFAULT) {
      hak_print_str(&line, " (");
      hak_print_str(&line, hak_config_source_name(source));
      hak_print_str(&line, ")");
    }
    if (line.length > HELLO_FULL_BYTES) hak_print_flush(&line, fd);
  }
  hak_print_str(&line, "\n");
  hak_print_flush(&line, fd);
}

static void print_classes(int fd) {
  uint64_t slabs[HAK_SIZE_CLASS_COUNT] = {0};
  uint64_t taken[HAK_SIZE_CLASS_COUNT] = {0};
  hak_shared_pool_count_classes(slabs, taken);
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "  class     slabs    blocks taken\n");
  hak_print_flush(&line, fd);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    if (slabs[c] == 0) continue;
    hak_print_u64_width(&line, hak_size_class_table[c].block_bytes, 7);
    hak_print_u64_width(&line, slabs[c], 10);
    hak_print_u64_width(&line, taken[c], 16);
    hak_print_str(&line, "\n");
    hak_print_flush(&line, fd);
  }
}

typedef struct heap_totals {
  uint64_t refills, spills, remote_merged, remote_published;
} heap_totals;

static heap_totals add_heaps(void) {
  heap_totals out = {0, 0, 0, 0};
  for (const hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    out.refills += hak_u64_load_relaxed(&heap->counters.refills);
    out.spills += hak_u64_load_relaxed(&heap->counters.spills);
    out.remote_merged += hak_u64_load_relaxed(&heap->counters.remote_merged);
    out.remote_published += hak_u64_load_relaxed(&heap->counters.remote_published);
  }
  return out;
}

void hak_report_summary(int fd) {
  const hak_report_figures figures = hak_report_read_figures();
  const hak_shared_pool_figures pool = hak_shared_pool_read_figures();
  const hak_whale_cache_figures whales = hak_whale_cache_read_figures();
  const hak_os_counters os = hak_os_read_counters();
  const heap_totals heaps = add_heaps();
  size_line(fd, "hakmem " HAK_VERSION_TEXT "\n  mapped for blocks  ", figures.mapped_bytes, "");
  size_line(fd, "  live or cached     ", figures.live_bytes, "");
  size_line(fd, "  releasable         ", figures.releasable_bytes, "");
  size_line(fd, "  metadata           ", figures.metadata_bytes, " (address space; touched in part)");
  print_classes(fd);
  count_line(fd, "  heaps:", (count_pair[]){{" all ", figures.heaps}, {", parked ", figures.parked_heaps}, {NULL, 0}});
  count_line(fd, "  superslabs:",
             (count_pair[]){{" mapped ", pool.superslabs},
                            {", empty ", pool.empty_superslabs},
                            {", spans live ", pool.live_spans},
                            {NULL, 0}});
  count_line(fd, "  whales:",
             (count_pair[]){{" live ", whales.live},
                            {", cached ", whales.cached},
                            {", from cache ", whales.from_cache},
                            {", moved ", whales.moved},
                            {NULL, 0}});
  count_line(fd, "  slabs came from:",
             (count_pair[]){{" orphans ", pool.from_orphan},
                            {", units ", pool.from_units},
                            {", empty superslabs ", pool.from_empty},
                            {", new mappings ", pool.from_new},
                            {NULL, 0}});
  count_line(fd, "  slow paths:",
             (count_pair[]){{" refills ", heaps.refills},
                            {", spills ", heaps.spills},
                            {", remote frees ", heaps.remote_merged},
                            {" in words ", heaps.remote_published},
                            {NULL, 0}});
  count_line(fd, "  system calls:",
             (count_pair[]){{" map ", os.map_calls},
                            {", unmap ", os.unmap_calls},
                            {", purge ", os.purge_calls},
                            {", move ", os.move_calls},
                            {NULL, 0}});
  count_line(fd, "  misuse reported:", (count_pair[]){{" ", hak_misuse_count()}, {NULL, 0}});
}

/* libc's open may be a point at which a thread is cancelled. */
static long open_stats_file(void) {
  const char* path = hak_config_text(HAK_OPTION_STATS_FILE);
  if (*path == 0) return STDERR_FILENO;
  const long file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
  if (file >= 0) return file;
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: cannot write to ");
  hak_config_print_value(&line, HAK_OPTION_STATS_FILE);
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
  return STDERR_FILENO;
}

void hak_report_at_exit(void) {
  const int file = (int)open_stats_file();
  hak_report_summary(file);
  if (file != STDERR_FILENO) syscall(SYS_close, file);
}

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
