#include "hakmem/slab/slab.c"

#include "hakmem/testing/schedules/doors.h"

uint64_t door_free_blocks(const hak_slab* slab) { return slab->free_bits[0]; }

void door_give(hak_slab* slab, uint64_t mask) { (void)hak_slab_give_word(slab, 0, mask); }
