/* Purpose: what the allocator holds and has done, as figures, text, XML, JSON and OpenMetrics.
 * Owns: nothing; reads the counters of the other boxes. The tables of fields, which every form is made from.
 * Invariants:
 *   1. Nothing here allocates, and no figure steers the allocator.
 *   2. mapped = live + cached + slack + free, in every hak_stats.
 * Threads: any; figures of running threads may be a moment old, and are read without their knowing. What a thread changes
 *   meanwhile may be counted twice or not at all; nothing is ever read through a pointer that may be torn.
 * Cost: O(SuperSlabs + heaps), and for hak_stats two walks of page tables by the kernel (mincore, smaps_rollup).
 * Fails: never; what the kernel does not tell is 0.  Fork: nothing to do.
 *
 * Hits are not counted. What is known of them: each block that a refill puts into a cache leaves it by a hit of malloc or by
 * a spill, and each block that a hit of free puts there likewise. So for each thread
 *     hits of malloc - hits of free = refilled - spilled - held now,
 * and the side that is larger had at least as many. */
#ifndef HAKMEM_REPORT_REPORT_H_
#define HAKMEM_REPORT_REPORT_H_

#include "hakmem/base/base.h"
#include "hakmem/size_class/size_class.h"
#include <hakmem/hakmem.h>

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

/** A few totals, without a question to the kernel. */
hak_report_figures hak_report_read_figures(void);

/** Everything: hak_stats_get. */
void hak_report_read_stats(hak_stats* out);

/** Of one size class. */
typedef struct hak_report_class {
  uint64_t block_bytes;
  uint64_t slabs, live, cached, free, refills, spills;
} hak_report_class;

typedef struct hak_report_classes {
  hak_report_class of[HAK_SIZE_CLASS_COUNT];
} hak_report_classes;

void hak_report_read_classes(hak_report_classes* out);

/** Of one heap: that of a thread, or of ended ones. */
typedef struct hak_report_thread {
  uint64_t handle, is_active, cached_blocks, cached_bytes, cap_bytes, limit_bytes;
  uint64_t refills, refilled_blocks, spills, spilled_blocks, written_through, remote_words, remote_blocks, merges;
  uint64_t slabs_adopted, slabs_acquired, slabs_released, caps_raised, caps_lowered;
  uint64_t cap_reviews, growth_flushes, surplus_flushes;
} hak_report_thread;

/** The heap that was the `index`-th to be made, from 0 on. False: there is none. */
bool hak_report_read_thread(uint64_t index, hak_report_thread* out);

/** The allocator's locks, by name; from 0 on. False: there are no more. */
typedef struct hak_report_lock {
  char name[12];
  uint64_t waits, sleeps;
} hak_report_lock;
bool hak_report_read_lock(uint32_t index, hak_report_lock* out);

/** A field of the structures above, all of which are uint64_t. No pointers: they would be relocations. */
typedef struct hak_report_field {
  uint16_t offset;
  bool is_counter; /* it only grows */
  char name[25];
  char family[27]; /* of OpenMetrics, without "hakmem_"; empty: not shown there */
  char labels[20];
  char help[66];
} hak_report_field;

enum { HAK_REPORT_STATS_FIELDS = 69, HAK_REPORT_CLASS_FIELDS = 6, HAK_REPORT_THREAD_FIELDS = 22 };
extern const hak_report_field hak_report_stats_fields[HAK_REPORT_STATS_FIELDS];
extern const hak_report_field hak_report_class_fields[HAK_REPORT_CLASS_FIELDS];
extern const hak_report_field hak_report_thread_fields[HAK_REPORT_THREAD_FIELDS];

/** The value of a field in its structure. */
uint64_t hak_report_value(const void* figures, const hak_report_field* field);

/** The line that HAKMEM_VERBOSE=1 asks for, to file descriptor `fd`. */
void hak_report_hello(int fd);

/** Takes a text in pieces; as hak_write. */
typedef void (*hak_report_write)(void* context, const char* text, size_t length);

/** Writes to the file descriptor that `context`, an int*, points at. Keeps errno. */
void hak_report_write_to_fd(void* context, const char* text, size_t length);

/** The summary: totals, classes in use, where slabs came from, what the system calls were. */
void hak_report_summary(int fd);

/** The values of HAKMEM_STATS_FORMAT. */
typedef enum hak_report_format { HAK_REPORT_TEXT, HAK_REPORT_JSON, HAK_REPORT_OPENMETRICS } hak_report_format;

/** The figures in the form that HAKMEM_STATS_FORMAT says, appended to the file that HAKMEM_STATS_FILE names, or to stderr where
 *  it names none or cannot be written, or the process is set-user-ID: what it writes to is not the user's to name. */
void hak_report_at_exit(void);

void hak_report_json(hak_report_write write, void* context);

/** Ends with "# EOF". */
void hak_report_openmetrics(hak_report_write write, void* context);

/** malloc_info's document, in glibc's malloc version="1" shape, in pieces, each passed to `write_piece`. */
void hak_report_xml(void (*write_piece)(void* context, const char* text), void* context);

HAK_END_DECLS

#endif /* HAKMEM_REPORT_REPORT_H_ */
