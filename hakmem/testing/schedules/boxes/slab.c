#include "hakmem/slab/slab.c"

#include "hakmem/testing/schedules/doors.h"

uint64_t door_free_blocks(const hak_slab* slab) { return slab->free_bits[0]; }
