/* Purpose: blocks that say themselves what they must hold, so that whoever has one, another thread or a child of fork,
 * can check it.
 * Owns: nothing.
 * Invariants:
 *   1. A block starts with its size and a tag that follows from its size and address; after that comes a pattern that
 *      follows from the tag: the first KiB, a word in each page, and the last 8 bytes. The up to 7 bytes before those are
 *      in no word.
 *   2. Sizes and functions (every one that allocates, resizes or frees) follow from the random numbers only.
 *   3. One block in eight is dirty all over when it is freed, and memory that should be zero is looked at byte by byte.
 * Threads: any; a block belongs to whoever holds its pointer.
 * Fails: a damaged block, one misaligned or not zeroed, and want of memory (but for `_try_`) end the process at once with
 *   a line on stderr. A NULL without ENOMEM counts as damage.
 * Fork: a child's copies of the blocks are as good as the parent's. */
#ifndef STRESS_SUPPORT_BLOCK_H_
#define STRESS_SUPPORT_BLOCK_H_

#include <stdbool.h>
#include <stddef.h>

#include "bench/support/rng.h"

enum { STRESS_BLOCK_MIN_BYTES = 24 };

/** A new block of a random size: small mostly, some spans, a few whales. */
void* stress_block_new(bench_rng* rng);

/** A new block of `size_bytes`, STRESS_BLOCK_MIN_BYTES or more. */
void* stress_block_new_sized(bench_rng* rng, size_t size_bytes);

/** As stress_block_new_sized; NULL where there is no memory. */
void* stress_block_try_new(bench_rng* rng, size_t size_bytes);

/** Makes a block of `memory`, the caller's own and `size_bytes` long, STRESS_BLOCK_MIN_BYTES or more. Returns `memory`. */
void* stress_block_begin(void* memory, size_t size_bytes);

/** Checks `block`, which then is plain memory for the caller to free. Returns its size. */
size_t stress_block_end(void* block);

/** Checks `block`. Returns its size. */
size_t stress_block_check(const void* block);

/** Checks `block`, gives it a random size, checks that the contents came along. Returns where it is now. */
void* stress_block_resize(void* block, bench_rng* rng);

/** As stress_block_resize, to `size_bytes`. */
void* stress_block_resize_to(void* block, size_t size_bytes, bench_rng* rng);

/** As stress_block_resize_to for `*block`. False where there is no memory: the block is found whole, where it was. */
bool stress_block_try_resize(void** block, size_t size_bytes, bench_rng* rng);

/** Checks `block` and frees it. */
void stress_block_free(void* block, bench_rng* rng);

#endif /* STRESS_SUPPORT_BLOCK_H_ */
