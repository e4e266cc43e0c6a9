/* A process with little address space (set by whoever starts it): NULL and ENOMEM where it ends, usable afterwards. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

/* The blocks taken are linked, so that the program itself needs no memory. */
typedef struct block {
  struct block* next;
  uintptr_t check;
} block;

/* Takes blocks until there is no memory; adds them to *list and returns how many. */
static size_t take_all(size_t size, block** list) {
  for (size_t count = 0;; count++) {
    errno = 0;
    block* taken = malloc(size);
    if (taken == NULL) {
      EXPECT(errno == ENOMEM);
      return count;
    }
    taken->next = *list;
    taken->check = ~(uintptr_t)taken;
    *list = taken;
  }
}

static void free_some(block** list, size_t count) {
  for (; count > 0; count--) {
    block* freed = *list;
    EXPECT(freed->check == ~(uintptr_t)freed);
    *list = freed->next;
    free(freed);
  }
}

static void fill_and_recover(size_t size) {
  block* list = NULL;
  const size_t count = take_all(size, &list);
  char line[64];
  snprintf(line, sizeof line, "%zu bytes: %zu KiB", size, count * size / 1024);
  say(line);
  EXPECT(count > 0);
  errno = 0;
  EXPECT(realloc(list, (size_t)1 << 40) == NULL && errno == ENOMEM);
  EXPECT(calloc((size_t)1 << 40, 1) == NULL);
  free_some(&list, count / 2);
  EXPECT(take_all(size, &list) >= count / 2);
  size_t held = 0;
  for (const block* b = list; b != NULL; b = b->next) held++;
  EXPECT(held >= count);
  free_some(&list, held);
}

int main(void) {
  static const size_t sizes[] = {64, 3000, 40000, 300000, 3000000, 64};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) fill_and_recover(sizes[i]);
  say("ok");
  return 0;
}
