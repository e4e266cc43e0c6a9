/* A library with HUNGRY_BYTES of thread-local variables. */
#include <string.h>

__attribute__((visibility("default"))) int hungry_touch(void);

static __thread char variables[HUNGRY_BYTES];

int hungry_touch(void) {
  memset(variables, 1, sizeof variables);
  __asm__ volatile("" : : "r"(variables) : "memory");
  return variables[HUNGRY_BYTES - 1];
}
