/* big_loop: large blocks of one size in a loop, the pattern of parsers, compilers and virtual machines.
 *
 * --live blocks are held in a ring; each step frees the oldest and allocates a new one. What is measured is whether the
 * allocator keeps large memory at hand or pays the kernel for it each time.
 * One operation is one malloc or one free. --touch first writes the first byte of a new block only; --touch pages
 * writes one byte in each of its pages, so that memory given back and fetched anew costs a page fault a page. Either
 * way the first byte is read and checked before free. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/team.h"

enum { TOUCH_FIRST, TOUCH_PAGES };
enum { CHUNK = 32, MAX_LIVE = 1 << 16, MAX_BYTES = 1 << 30 };

static uint64_t opt_size = 65536;
static uint64_t opt_live = 1;
static uint64_t opt_touch = TOUCH_FIRST;
static uint64_t opt_threads = 1;

static const char* const touches[] = {"first", "pages", NULL};

static const bench_option options[] = {
    {"size", "block size, bytes", &opt_size, 1, MAX_BYTES, NULL},
    {"live", "blocks held at a time, by each thread", &opt_live, 1, MAX_LIVE, NULL},
    {"touch", "what is written in a new block", &opt_touch, 0, 0, touches},
    {"threads", "threads, each with its own blocks", &opt_threads, 1, BENCH_MAX_THREADS, NULL},
};

static const bench_program program = {"big_loop", "large blocks in a loop", options,
                                      sizeof options / sizeof options[0]};

static void* new_block(uint64_t tag) {
  void* block = bench_block_new(opt_size, tag);
  if (opt_touch == TOUCH_PAGES) bench_block_touch_pages(block, BENCH_PAGE_BYTES, opt_size);
  return block;
}

static uint64_t work(bench_team* team, unsigned index) {
  (void)index;
  void** blocks = bench_block_check(calloc(opt_live, sizeof *blocks));
  for (uint64_t i = 0; i < opt_live; i++) blocks[i] = new_block(i);

  bench_team_begin(team);
  uint64_t ops = 0;
  uint64_t at = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    for (uint64_t done = 0; done < count; done += 2) {
      bench_block_free(blocks[at], at);
      blocks[at] = new_block(at);
      at = at + 1 == opt_live ? 0 : at + 1;
      ops += 2;
    }
  }
  bench_team_end(team);

  for (uint64_t i = 0; i < opt_live; i++) free(blocks[i]);
  free(blocks);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  return bench_team_run(&limits, (unsigned)opt_threads, work);
}
