/* Purpose: what the allocator holds, as text and as figures.
 * Owns: nothing; reads the counters of the other boxes.
 * Invariants:
 *   1. Nothing here allocates, and no figure steers the allocator.
 * Threads: any; figures of running threads may be a moment old.
 * Cost: O(SuperSlabs).  Fails: never.  Fork: nothing to do. */
#ifndef HAKMEM_REPORT_REPORT_H_
#define HAKMEM_REPORT_REPORT_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

typedef struct hak_report_figures {
  /** Mapped for blocks: SuperSlabs and whales. */
  uint64_t mapped_bytes;
  /** In blocks that have left their slabs: with the program, or in a cache. */
  uint64_t live_bytes;
  uint64_t live_whales;
  uint64_t live_whale_bytes;
  /** Free, mapped and possibly resident: what a trim may give back at most. */
  uint64_t releasable_bytes;
  uint64_t metadata_bytes;
  uint64_t heaps, parked_heaps;
} hak_report_figures;

hak_report_figures hak_report_read_figures(void);

/** The line that HAKMEM_VERBOSE=1 asks for, to file descriptor `fd`. */
void hak_report_hello(int fd);

/** The summary: totals, classes in use, where slabs came from, what the system calls were. */
void hak_report_summary(int fd);

/** The summary, appended to the file that HAKMEM_STATS_FILE names, or to stderr where it names none or cannot be written. */
void hak_report_at_exit(void);

/** malloc_info's document, in glibc's malloc version="1" shape, in pieces, each passed to `write_piece`. */
void hak_report_xml(void (*write_piece)(void* context, const char* text), void* context);

HAK_END_DECLS

#endif /* HAKMEM_REPORT_REPORT_H_ */
