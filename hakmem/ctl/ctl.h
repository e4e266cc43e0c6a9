/* Purpose: figures, options and actions by name: hak_ctl.
 * Owns: the figures of the present epoch, their lock.
 * Invariants:
 *   1. Names are made from the tables of report and config: what is in a table has its name here.
 *   2. Nothing is changed unless 0 is returned.
 *   3. Figures of one epoch are those of one walk, but for those of threads, locks and latencies, which are read at once.
 * Threads: any.
 * Lock: its own, the outermost of all (docs/lock_order.md); held over the questions to the kernel that figures take.
 * Cost: a search of the tables; the first look of an epoch what hak_stats_get costs.
 * Fails: with an error number.  Fork: lifecycle takes the lock around fork. */
#ifndef HAKMEM_CTL_CTL_H_
#define HAKMEM_CTL_CTL_H_

#include "hakmem/base/base.h"
#include "hakmem/os/lock.h"
#include "hakmem/report/report.h"

HAK_BEGIN_DECLS

/** What only the layers above can do. Each returns bytes given back. */
typedef struct hak_ctl_actions {
  size_t (*trim)(void);
  size_t (*trim_thread)(void);
} hak_ctl_actions;

/** hak_ctl. */
int hak_ctl_access(const hak_ctl_actions* actions, const char* name, void* old_value, size_t* old_size,
                   const void* new_value, size_t new_size);

/** hak_ctl_names. */
void hak_ctl_list(hak_report_write write, void* context);

hak_lock* hak_ctl_lock(void);

HAK_END_DECLS

#endif /* HAKMEM_CTL_CTL_H_ */
