/* malloc.h: figures, parameters, reports. The argument says what. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { MIB = 1 << 20, SMALLS = 20000, SMALL_BYTES = 400 };

static char* smalls[SMALLS];

static void take_smalls(void) {
  for (int i = 0; i < SMALLS; i++) {
    smalls[i] = malloc(SMALL_BYTES);
    EXPECT(smalls[i] != NULL);
    memset(smalls[i], 1, SMALL_BYTES);
  }
}

static void free_smalls(void) {
  for (int i = 0; i < SMALLS; i++) free(smalls[i]);
}

static void info(void) {
  take_smalls();
  char* large = malloc(10 * MIB);
  EXPECT(malloc_info(0, stdout) == 0);
  EXPECT(fflush(stdout) == 0);
  free(large);
}

static void info_of_bad_options(void) {
  errno = 0;
  EXPECT(malloc_info(1, stdout) == -1 && errno == EINVAL);
  say("ok");
}

static void figures(void) {
  const struct mallinfo2 start = mallinfo2();
  char* large = malloc(10 * MIB);
  const struct mallinfo2 with_large = mallinfo2();
  EXPECT(with_large.hblks == start.hblks + 1);
  EXPECT(with_large.hblkhd >= start.hblkhd + 10 * MIB && with_large.hblkhd < start.hblkhd + 11 * MIB);
  take_smalls();
  const struct mallinfo2 with_smalls = mallinfo2();
  EXPECT(with_smalls.uordblks >= start.uordblks + (size_t)SMALLS * SMALL_BYTES);
  EXPECT(with_smalls.uordblks < start.uordblks + (size_t)SMALLS * SMALL_BYTES * 2);
  EXPECT(with_smalls.arena >= with_smalls.uordblks);
  EXPECT(with_smalls.arena == with_smalls.uordblks + with_smalls.fordblks);
  const struct mallinfo2 narrow = mallinfo2();
  EXPECT(narrow.hblkhd == with_smalls.hblkhd);
  free(large);
  EXPECT(mallinfo2().hblks == start.hblks && mallinfo2().hblkhd == start.hblkhd);
  free_smalls();
  malloc_trim(0);
  EXPECT(mallinfo2().uordblks <= start.uordblks + MIB);
  say("ok");
}

static void parameters(void) {
  static const int known[] = {M_MXFAST,       M_TRIM_THRESHOLD, M_TOP_PAD,    M_MMAP_THRESHOLD, M_MMAP_MAX,
                              M_CHECK_ACTION, M_PERTURB,        M_ARENA_TEST, M_ARENA_MAX};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) EXPECT(mallopt(known[i], 1) == 1);
  EXPECT(mallopt(12345, 1) == 0);
  say("ok");
}

static void trim(void) {
  take_smalls();
  free_smalls();
  EXPECT(malloc_trim(0) == 1);
  EXPECT(malloc_trim(0) == 0); /* nothing left to give */
  say("ok");
}

static void stats(void) {
  take_smalls();
  malloc_stats();
  say("ok");
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(void);
  } cases[] = {{"info", info},       {"bad_info", info_of_bad_options},
               {"figures", figures}, {"parameters", parameters},
               {"trim", trim},       {"stats", stats}};
  EXPECT(argc == 2);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (strcmp(argv[1], cases[i].name) != 0) continue;
    cases[i].run();
    return 0;
  }
  EXPECT(!"a known case");
}
