/* tree: binary trees, built and freed over and over: many small nodes, allocated and freed depth first, as parsers,
 * symbol tables and game searches do.
 *
 * A tree of --depth levels has 2^depth - 1 nodes. One that is kept throughout lies beside those that come and go. Each
 * node carries its place in the tree, and is read and checked before it is freed, after its children.
 * One operation is one malloc or one free. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/team.h"

enum { MAX_DEPTH = 26, MIN_NODE_BYTES = 24, MAX_NODE_BYTES = 1 << 16 };

static uint64_t opt_depth = 10;
static uint64_t opt_size = 32;
static uint64_t opt_threads = 1;

static const bench_option options[] = {
    {"depth", "levels of a tree", &opt_depth, 1, MAX_DEPTH, NULL},
    {"size", "bytes of a node", &opt_size, MIN_NODE_BYTES, MAX_NODE_BYTES, NULL},
    {"threads", "threads, each with its own trees", &opt_threads, 1, BENCH_MAX_THREADS, NULL},
};

static const bench_program program = {"tree", "binary trees built and freed", options,
                                      sizeof options / sizeof options[0]};

typedef struct node {
  struct node* left;
  struct node* right;
  uint64_t place; /* 1 for the root, 2 p and 2 p + 1 for the children of p */
} node;

static node* build(uint64_t depth, uint64_t place) {
  node* self = bench_block_check(malloc(opt_size));
  self->place = place;
  self->left = depth == 1 ? NULL : build(depth - 1, 2 * place);
  self->right = depth == 1 ? NULL : build(depth - 1, 2 * place + 1);
  return self;
}

static void destroy(node* self, uint64_t place) {
  if (self->place != place) bench_die(BENCH_EXIT_CORRUPT, "a node lost its contents");
  if (self->left != NULL) destroy(self->left, 2 * place);
  if (self->right != NULL) destroy(self->right, 2 * place + 1);
  free(self);
}

static uint64_t work(bench_team* team, unsigned index) {
  (void)index;
  const uint64_t ops_per_tree = 2 * ((UINT64_C(1) << opt_depth) - 1);
  node* kept = build(opt_depth, 1);

  bench_team_begin(team);
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, ops_per_tree > 2048 ? 1 : 2048)) != 0) {
    for (uint64_t done = 0; done < count; done += ops_per_tree) {
      destroy(build(opt_depth, 1), 1);
      ops += ops_per_tree;
    }
  }
  bench_team_end(team);

  destroy(kept, 1);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  return bench_team_run(&limits, (unsigned)opt_threads, work);
}
