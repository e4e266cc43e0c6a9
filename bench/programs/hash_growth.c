/* hash_growth: hash tables that grow by rehashing: chains of small nodes, and an array of twice the size each time that
 * there are as many entries as chains.
 *
 * A table gets --entries entries, each is looked up once, then all are freed. The array's old and new one are alive
 * together while the chains move. One operation is one malloc, calloc or free. An entry's value follows from its key,
 * and is checked by the look-up and again before the free; a new array's last chain is checked to be empty. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { FIRST_CHAINS = 16, MAX_ENTRIES = 1 << 26, MAX_NAME_BYTES = 48 };

static uint64_t opt_entries = 1000;

static const bench_option options[] = {
    {"entries", "entries of a table", &opt_entries, 1, MAX_ENTRIES, NULL},
};

static const bench_program program = {"hash_growth", "hash tables that grow", options,
                                      sizeof options / sizeof options[0]};

typedef struct entry {
  struct entry* next;
  uint64_t key;
  uint64_t value;
  char name[]; /* 0 to MAX_NAME_BYTES, not looked at */
} entry;

typedef struct table {
  entry** chains;
  uint64_t mask; /* their number, a power of two, less one */
  uint64_t count;
  uint64_t ops;
} table;

static uint64_t value_of(uint64_t key) { return key * 0x9e3779b97f4a7c15u; }

static entry** chain_of(const table* self, uint64_t key) { return &self->chains[(key >> 20) & self->mask]; }

static entry** new_chains(table* self, uint64_t count) {
  entry** chains = bench_block_check(calloc(count, sizeof *chains));
  if (chains[count - 1] != NULL) bench_die(BENCH_EXIT_CORRUPT, "calloc gave memory that is not zero");
  self->mask = count - 1;
  self->ops++;
  return chains;
}

static void link_entry(table* self, entry* added) {
  entry** chain = chain_of(self, added->key);
  added->next = *chain;
  *chain = added;
}

static void grow(table* self) {
  entry** old = self->chains;
  const uint64_t old_count = self->mask + 1;
  self->chains = new_chains(self, 2 * old_count);
  for (uint64_t i = 0; i < old_count; i++) {
    for (entry *each = old[i], *next; each != NULL; each = next) {
      next = each->next;
      link_entry(self, each);
    }
  }
  free(old);
  self->ops++;
}

static void insert(table* self, bench_rng* rng) {
  if (self->count == self->mask + 1) grow(self);
  const uint64_t key = bench_rng_next(rng);
  entry* added = bench_block_check(malloc(sizeof(entry) + bench_rng_scale(key, MAX_NAME_BYTES + 1)));
  added->key = key;
  added->value = value_of(key);
  link_entry(self, added);
  self->count++;
  self->ops++;
}

static void look_up(const table* self, uint64_t key) {
  const entry* each = *chain_of(self, key);
  while (each != NULL && each->key != key) each = each->next;
  if (each == NULL || each->value != value_of(key)) bench_die(BENCH_EXIT_CORRUPT, "an entry is lost");
}

static void empty(table* self) {
  for (uint64_t i = 0; i <= self->mask; i++) {
    for (entry *each = self->chains[i], *next; each != NULL; each = next) {
      next = each->next;
      if (each->value != value_of(each->key)) bench_die(BENCH_EXIT_CORRUPT, "an entry lost its contents");
      free(each);
      self->ops++;
    }
  }
  free(self->chains);
  self->ops++;
}

/* The life of a table. Returns the number of operations. */
static uint64_t live(uint64_t seed) {
  table self = {.chains = NULL};
  self.chains = new_chains(&self, FIRST_CHAINS);
  bench_rng rng = bench_rng_seed(seed);
  for (uint64_t i = 0; i < opt_entries; i++) insert(&self, &rng);
  rng = bench_rng_seed(seed);
  for (uint64_t i = 0; i < opt_entries; i++) look_up(&self, bench_rng_next(&rng));
  empty(&self);
  return self.ops;
}

static uint64_t work(bench_team* team, unsigned index) {
  live(index);

  bench_team_begin(team);
  uint64_t ops = 0;
  for (uint64_t seed = 1; bench_run_next(&team->run, ops, 1) != 0; seed++) ops += live(seed);
  bench_team_end(team);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  return bench_team_run(&limits, 1, work);
}
