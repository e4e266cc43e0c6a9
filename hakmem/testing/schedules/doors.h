/* What the scenarios ask of the boxes beyond their headers: functions that are private to a box, or inline and so not
 * explored when called from C++. Each is in boxes/<file>.c behind the source that it looks into. */
#ifndef HAKMEM_TESTING_SCHEDULES_DOORS_H_
#define HAKMEM_TESTING_SCHEDULES_DOORS_H_

#include "hakmem/base/base.h"
#include "hakmem/heap/heap.h"
#include "hakmem/slab/slab.h"
#include "hakmem/testing/schedules/site.h"

HAK_BEGIN_DECLS

/* fake.c */
#define DOOR_MEMORY_BASE 0x100000000000u
void door_reset_fakes(void);
uint64_t door_leaves_mapped(void);
uint64_t door_leaves_returned(void);
/** The program's own synchronisation: hands blocks over. */
void door_set_flag(uint64_t value);
uint64_t door_wait_for_flag(void);

/** The program writes to the first eight blocks of a slab, those of `mask`. */
void door_use_blocks(uint64_t mask);
/** The program has the units of a span, which the allocator says are zero or may not be; it reads and writes them. */
void door_use_units(const hak_slab* slab, uint32_t units, bool zeroed);

/* slab.c */
uint64_t door_free_blocks(const hak_slab* slab);
/** Owner: gives the blocks of `mask` in word 0 back. */
void door_give(hak_slab* slab, uint64_t mask);

/* superslab.c; a SuperSlab is named by its id. */
uint32_t door_new_superslab(uint32_t free_units);
/** The next id is this much higher: what lies between has no descriptor. */
void door_skip_ids(uint32_t count);
uint32_t door_map_superslab(void);
void door_unmap(uint32_t id);
uint32_t door_count_superslabs(void);
hak_slab* door_slab(uint32_t id, uint32_t unit);
uint32_t door_free_units(uint32_t id);
uint32_t door_dirty_units(uint32_t id);
void door_name_superslab(uint32_t id, void (*name)(const void* address, size_t bytes, const char* name, uint32_t n));

/* tiers.c */
bool door_index_agrees(uint32_t id);
void door_refresh(uint32_t id);
void door_change_mask(uint32_t id, uint32_t add, uint32_t remove);
void door_mark_dirty(uint32_t id);
void door_check_dirty(uint32_t id);
uint32_t door_take_dirty(void);
bool door_is_dirty(uint32_t id);
bool door_dirty_is_found(uint32_t id);

/* units.c */
/** Claims, and uses the units. */
hak_slab* door_claim(uint32_t id, uint32_t units);
hak_slab* door_claim_unused(uint32_t units);
bool door_claim_exactly(uint32_t id, uint32_t mask);
/** Has no unit free, and the index does not know yet. */
void door_hold_all_unseen(uint32_t id);
/** Takes a SuperSlab that is held whole into use, by its first units. */
void door_open(uint32_t id, uint32_t units);

/* spans.c */
hak_slab* door_acquire_span(uint32_t units);
/** What follows a claim. */
void door_fill_span(hak_slab* slab, uint32_t units);
/** As an owner that takes `units` units from `unit` of SuperSlab `id`, which are not free: a span that may be parked. */
hak_slab* door_make_span(uint32_t id, uint32_t unit, uint32_t units);
/** The units behind a span up to `end`, which are not free, are its room. */
void door_give_room(hak_slab* slab, uint32_t end);
bool door_take_all_rooms(void);
/** Units of a span's room. */
uint32_t door_room(const hak_slab* slab);

/* give_back.c */
void door_purge(uint32_t id);

/* shared_pool.c */
bool door_adopt(hak_heap* heap, uint32_t size_class);
void door_drain_first_parked(void);
/** Owner: merges what is posted; returns what becomes empty, not released. */
hak_slab* door_merge(hak_heap* heap, uint32_t size_class);
/** Any thread: takes complete slabs and releases them. */
void door_take_complete(void);
/** Owner: merges what is posted, and releases what becomes empty. Returns the number of slabs released. */
int door_drain(hak_heap* heap, uint32_t size_class);
/** What follows a claim. */
void door_fill_slab(hak_slab* slab, hak_heap* heap, uint32_t size_class);
void door_set_mailbox(hak_slab* slab, hak_heap* heap, uint32_t size_class);
void door_unlist(hak_slab* slab, hak_heap* heap, uint32_t size_class);
/** True: the slab is of the heap's bin, and its books may be changed. */
bool door_takes_own(hak_heap* heap, hak_slab* slab, uint32_t size_class);
uint64_t door_empty_count(void);

/* span_berth.c */
void door_settle_spans(void);

/* remote_free.c */
/** A slab that is posted to `mailbox` without bits, by a publisher that comes late. */
void door_post_late(hak_slab* slab, hak_mailbox* mailbox);
void door_release_mailbox(hak_slab* slab);
void door_notify_owner(hak_slab* slab);

/* registry.c */
uint64_t door_registry_word(const void* ptr);
void* door_registry_owner(const void* ptr);

/* heap.c, lock.c, config.c */
/** As an owner that takes its first block of a class. */
void door_use_bin(hak_heap* heap, uint32_t size_class);
uint32_t door_count_heaps(void);
void door_lock_add(void);
void door_lock_try_add(void);
uint64_t door_lock_guarded(void);
void door_config_load(void);
uint64_t door_config_decay_ms(void);
/** How much of the text "abc" there is. */
uint32_t door_config_stats_file(void);

HAK_END_DECLS

#endif /* HAKMEM_TESTING_SCHEDULES_DOORS_H_ */
