#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/report/report.h"
#include <hakmem/hakmem.h>

void hak_report_write_to_fd(void* context, const char* text, size_t length) {
  const int saved_errno = errno;
  const int fd = *(const int*)context;
  while (length != 0) {
    const ssize_t n = write(fd, text, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text += n;
    length -= (size_t)n;
  }
  errno = saved_errno;
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
  hak_report_classes classes;
  hak_report_read_classes(&classes);
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "  class     slabs            live     cached       free    refills     spills\n");
  hak_print_flush(&line, fd);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const hak_report_class* row = &classes.of[c];
    if (row->slabs == 0) continue;
    hak_print_u64_width(&line, row->block_bytes, 7);
    hak_print_u64_width(&line, row->slabs, 10);
    hak_print_u64_width(&line, row->live, 16);
    hak_print_u64_width(&line, row->cached, 11);
    hak_print_u64_width(&line, row->free, 11);
    hak_print_u64_width(&line, row->refills, 11);
    hak_print_u64_width(&line, row->spills, 11);
    hak_print_str(&line, "\n");
    hak_print_flush(&line, fd);
  }
}

static void print_rounding(int fd, const hak_stats* now) {
  size_line(fd, "  not asked for      ", now->rounding_max_bytes, " of what is live, at most");
  if (now->rounding_samples == 0) return;
  hak_print note;
  hak_print_init(&note);
  hak_print_str(&note, " by ");
  hak_print_u64(&note, now->rounding_samples);
  hak_print_str(&note, " samples");
  size_line(fd, "    estimated        ", now->rounding_bytes, note.text);
}

static void print_misuse(int fd, const hak_stats* now) {
  if (now->misuse_reports != 0) {
    count_line(fd, "  misuse:",
               (count_pair[]){{" double frees ", now->double_frees},
                              {", interior pointers ", now->interior_pointers},
                              {", foreign pointers ", now->foreign_pointers},
                              {", wrong sizes ", now->wrong_sizes},
                              {NULL, 0}});
  }
  count_line(fd, "  misuse reported:", (count_pair[]){{" ", now->misuse_reports}, {NULL, 0}});
}

static void print_memory(int fd, const hak_stats* now) {
  size_line(fd, "hakmem " HAK_VERSION_TEXT "\n  mapped for blocks  ", now->mapped_bytes, "");
  size_line(fd, "    live             ", now->live_bytes, "");
  size_line(fd, "    cached           ", now->cached_bytes, "");
  size_line(fd, "    slack in slabs   ", now->slack_bytes, "");
  size_line(fd, "    free             ", now->free_bytes, "");
  print_rounding(fd, now);
  size_line(fd, "  releasable         ", now->releasable_bytes, "");
  size_line(fd, "  metadata           ", now->metadata_bytes, " (address space; touched in part)");
  size_line(fd, "  resident           ", now->resident_bytes, "");
  size_line(fd, "    of the process   ", now->rss_bytes, "");
  size_line(fd, "    not HAKMEM's     ", now->other_rss_bytes, "");
  size_line(fd, "  given back         ", now->returned_bytes, "");
  size_line(fd, "    and asked again  ", now->again_bytes, "");
}

static void print_paths(int fd, const hak_stats* now) {
  count_line(fd, "  slabs came from:",
             (count_pair[]){{" orphans ", now->from_orphan},
                            {", units ", now->from_units},
                            {", empty superslabs ", now->from_empty},
                            {", new mappings ", now->from_new},
                            {NULL, 0}});
  count_line(fd, "  malloc:",
             (count_pair[]){{" hits at least ", now->malloc_hits_min},
                            {", refills ", now->refills},
                            {" of blocks ", now->refilled_blocks},
                            {NULL, 0}});
  count_line(fd, "  free:",
             (count_pair[]){{" hits at least ", now->free_hits_min},
                            {", spills ", now->spills},
                            {" of blocks ", now->spilled_blocks},
                            {", written through ", now->written_through},
                            {", sent home in words ", now->remote_words},
                            {", on their way ", now->remote_pending_blocks},
                            {", come home ", now->remote_blocks},
                            {NULL, 0}});
  count_line(fd, "  caches:",
             (count_pair[]){{" caps raised ", now->caps_raised},
                            {", lowered ", now->caps_lowered},
                            {", emptied for growth ", now->growth_flushes},
                            {", for surplus ", now->surplus_flushes},
                            {NULL, 0}});
}

static void print_kernel(int fd, const hak_stats* now) {
  count_line(fd, "  system calls:",
             (count_pair[]){{" map ", now->map_calls},
                            {", unmap ", now->unmap_calls},
                            {", purge ", now->purge_calls},
                            {", move ", now->move_calls},
                            {", advise ", now->advise_calls},
                            {", protect ", now->protect_calls},
                            {NULL, 0}});
  count_line(fd, "  page faults of the process:",
             (count_pair[]){{" minor ", now->minor_faults}, {", major ", now->major_faults}, {NULL, 0}});
  count_line(fd,
             "  locks:", (count_pair[]){{" waited for ", now->lock_waits}, {", asleep ", now->lock_sleeps}, {NULL, 0}});
}

void hak_report_summary(int fd) {
  hak_stats now;
  hak_report_read_stats(&now);
  print_memory(fd, &now);
  print_classes(fd);
  count_line(
      fd, "  heaps:",
      (count_pair[]){{" all ", now.active_threads + now.parked_heaps}, {", parked ", now.parked_heaps}, {NULL, 0}});
  count_line(
      fd, "  superslabs:",
      (count_pair[]){
          {" mapped ", now.superslabs}, {", empty ", now.empty_superslabs}, {", spans live ", now.spans}, {NULL, 0}});
  count_line(fd, "  whales:",
             (count_pair[]){{" live ", now.whales},
                            {", cached ", now.cached_whales},
                            {", from cache ", now.whales_from_cache},
                            {", moved ", now.whales_moved},
                            {NULL, 0}});
  print_paths(fd, &now);
  print_kernel(fd, &now);
  print_misuse(fd, &now);
}

/* libc's open may be a point at which a thread is cancelled. */
static long open_stats_file(void) {
  const char* text = hak_config_text(HAK_OPTION_STATS_FILE);
  if (*text == 0 || getauxval(AT_SECURE) != 0) return STDERR_FILENO;
  hak_print path, line;
  hak_print_init(&path);
  if (hak_print_path(&path, text)) {
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY;
    const long file = syscall(SYS_openat, AT_FDCWD, path.text, flags, 0644);
    if (file >= 0) return file;
  }
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: cannot write to ");
  hak_print_str(&line, text);
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
  return STDERR_FILENO;
}

void hak_report_at_exit(void) {
  int file = (int)open_stats_file();
  switch ((hak_report_format)hak_config_get(HAK_OPTION_STATS_FORMAT)) {
    case HAK_REPORT_TEXT: hak_report_summary(file); break;
    case HAK_REPORT_JSON: hak_report_json(hak_report_write_to_fd, &file); break;
    case HAK_REPORT_OPENMETRICS: hak_report_openmetrics(hak_report_write_to_fd, &file); break;
  }
  if (file != STDERR_FILENO) syscall(SYS_close, file);
}
