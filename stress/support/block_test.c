/* stress/support/block: what it must find, it finds. Each crime is a child's, which must end with BENCH_EXIT_CORRUPT. */
#include "stress/support/block.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/support/args.h"

enum { BLOCKS = 2000, WHALE_BYTES = 3 << 20 };

typedef void crime(unsigned char* block, size_t size_bytes, bench_rng* rng);

static void flip_first_byte(unsigned char* block, size_t size_bytes, bench_rng* rng) {
  (void)size_bytes, (void)rng;
  block[0] ^= 1;
  stress_block_check(block);
}

static void flip_tag(unsigned char* block, size_t size_bytes, bench_rng* rng) {
  (void)size_bytes;
  block[15] ^= 0x80;
  stress_block_free(block, rng);
}

static void flip_last_byte(unsigned char* block, size_t size_bytes, bench_rng* rng) {
  block[size_bytes - 1] ^= 1;
  stress_block_free(block, rng);
}

/* Where the pattern has words a page apart, or, in a small block, at its start. */
static void flip_middle_byte(unsigned char* block, size_t size_bytes, bench_rng* rng) {
  block[size_bytes < 8192 ? 16 : 1024 + size_bytes / 2 / 4096 * 4096] ^= 1;
  stress_block_resize(block, rng);
}

static void copy_elsewhere(unsigned char* block, size_t size_bytes, bench_rng* rng) {
  unsigned char* other = stress_block_new_sized(rng, size_bytes);
  memcpy(other, block, size_bytes);
  stress_block_check(other);
}

/* Returns 1 and says so where the crime goes unseen. */
static int is_missed(const char* name, crime* commit, size_t size_bytes) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    bench_rng rng = bench_rng_seed(size_bytes);
    dup2(STDOUT_FILENO, STDERR_FILENO); /* one stream of complaints, all expected */
    commit(stress_block_new_sized(&rng, size_bytes), size_bytes, &rng);
    _exit(0);
  }
  int status = 0;
  const int is_seen = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                      WEXITSTATUS(status) == BENCH_EXIT_CORRUPT;
  if (!is_seen) printf("MISSED: %s at %zu bytes, status %#x\n", name, size_bytes, (unsigned)status);
  return !is_seen;
}

/* What is right passes: the same blocks, undamaged, over all sizes. */
static void use_many(void) {
  bench_rng rng = bench_rng_seed(1);
  void* blocks[BLOCKS];
  for (unsigned i = 0; i < BLOCKS; i++) blocks[i] = stress_block_new(&rng);
  for (unsigned i = 0; i < BLOCKS; i++) blocks[i] = stress_block_resize(blocks[i], &rng);
  for (unsigned i = 0; i < BLOCKS; i++) stress_block_free(blocks[i], &rng);
}

int main(void) {
  static const size_t sizes[] = {STRESS_BLOCK_MIN_BYTES, 32, 64, 1000, 1033, 5000, 70001, WHALE_BYTES};
  int missed = 0;
  use_many();
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    missed += is_missed("flip_first_byte", flip_first_byte, sizes[i]);
    missed += is_missed("flip_tag", flip_tag, sizes[i]);
    missed += is_missed("flip_last_byte", flip_last_byte, sizes[i]);
    missed += is_missed("flip_middle_byte", flip_middle_byte, sizes[i]);
    missed += is_missed("copy_elsewhere", copy_elsewhere, sizes[i]);
  }
  return missed == 0 ? 0 : 1;
}
