/* Blocks of many sizes that one side takes and another gives back, and stacks for sides that are no threads of pthread's. */
#ifndef HAKMEM_TESTING_TORTURE_SHARED_MEMORY_H_
#define HAKMEM_TESTING_TORTURE_SHARED_MEMORY_H_

#include <stdlib.h>
#include <sys/mman.h>

#include "hakmem/testing/harness/expect.h"

enum { STACK_BYTES = 256 * 1024, BLOCKS = 300 };

__attribute__((unused)) static size_t size_of(int i) {
  return i == BLOCKS - 1 ? 3000000 : i == BLOCKS - 2 ? 300000 : 1 + (size_t)i * 31;
}

__attribute__((unused)) static void take(char** slots, char mark) {
  for (int i = 0; i < BLOCKS; i++) {
    slots[i] = malloc(size_of(i));
    EXPECT(slots[i] != NULL);
    memset(slots[i], mark, size_of(i));
  }
}

__attribute__((unused)) static void give(char** slots, char mark) {
  for (int i = 0; i < BLOCKS; i++) {
    EXPECT(slots[i][0] == mark && slots[i][size_of(i) - 1] == mark);
    free(slots[i]);
  }
}

__attribute__((unused)) static char* new_stack(void) {
  char* stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(stack != MAP_FAILED);
  return stack;
}

#endif /* HAKMEM_TESTING_TORTURE_SHARED_MEMORY_H_ */
