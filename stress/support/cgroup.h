/* Purpose: a memory cgroup of a program's own, of version 2 or 1, whichever the machine has for this process to write.
 * Owns: a folder beside the process, below its own cgroup; no swap is allowed there where the machine knows swap.
 * Invariants:
 *   1. After stress_cgroup_end the folder is gone.
 * Threads: from main, before and after all others.
 * Fails: false and a reason in words where the machine has no such cgroup, or does not let this process make one. */
#ifndef STRESS_SUPPORT_CGROUP_H_
#define STRESS_SUPPORT_CGROUP_H_

#include <stdbool.h>
#include <stdint.h>

typedef struct stress_cgroup {
  char path[512];
  char reason[256];
  bool is_v1;
} stress_cgroup;

typedef struct stress_cgroup_figures {
  uint64_t kills;      /* processes that the kernel ended for want of memory */
  uint64_t peak_bytes; /* 0: the kernel does not tell */
} stress_cgroup_figures;

/** Makes a cgroup whose processes may use `limit_bytes` together. */
bool stress_cgroup_make(stress_cgroup* group, uint64_t limit_bytes);

/** Moves this process into it. False, with a line on stderr, where the kernel refuses. */
bool stress_cgroup_enter(const stress_cgroup* group);

/** When nobody is in it any more: what happened there; removes it. */
stress_cgroup_figures stress_cgroup_end(const stress_cgroup* group);

#endif /* STRESS_SUPPORT_CGROUP_H_ */
