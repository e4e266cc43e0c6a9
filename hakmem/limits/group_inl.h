/* Private to the limits box: a control group's files, version 2 and the controllers of version 1. */
#ifndef HAKMEM_LIMITS_GROUP_INL_H_
#define HAKMEM_LIMITS_GROUP_INL_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

enum { HAK_LIMITS_PATH_BYTES = 512, HAK_LIMITS_TEXT_BYTES = 4096 };

/** All zero: no group, no limit. Too large for a stack: one thread uses it at a time. */
typedef struct hak_limits_group {
  uint64_t memory_bytes; /* the least limit of the group and those around it; 0: none */
  uint64_t milli_cpus;   /* likewise */
  uint32_t version;      /* of the memory controller */
  size_t folder_length;  /* of the group with that memory limit */
  char folder[HAK_LIMITS_PATH_BYTES];
  char path[HAK_LIMITS_PATH_BYTES + 32]; /* of the file that is read */
  char text[HAK_LIMITS_TEXT_BYTES];      /* what is in it */
  char groups[HAK_LIMITS_TEXT_BYTES];    /* /proc/self/cgroup */
} hak_limits_group;

/** Finds the group of this process and its limits. */
void hak_limits_group_find(hak_limits_group* group);

/** Memory that the group with the limit uses, files included. 0: it does not say. */
uint64_t hak_limits_group_used_bytes(hak_limits_group* group);

/** Of `used_bytes`, what is no file's. All of it where the group does not say. */
uint64_t hak_limits_group_pinned_bytes(hak_limits_group* group, uint64_t used_bytes);

/** In how many hundredths of a percent of the last ten seconds somebody waited for memory. 0: the kernel does not say. */
uint64_t hak_limits_group_pressure(hak_limits_group* group);

HAK_END_DECLS

#endif /* HAKMEM_LIMITS_GROUP_INL_H_ */
