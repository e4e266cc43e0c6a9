/* A library whose constructor runs before that of a preloaded one, and whose destructor runs after it. */
#include <stdlib.h>
#include <string.h>

#include "hakmem/testing/harness/expect.h"

__attribute__((visibility("default"))) char* early_lib_block;
__attribute__((visibility("default"))) int early_lib_order;
__attribute__((visibility("default"))) int early_next_order(void);

int early_next_order(void) {
  static int order;
  return ++order;
}

__attribute__((constructor)) static void on_load(void) {
  early_lib_order = early_next_order();
  early_lib_block = malloc(5000);
  EXPECT(early_lib_block != NULL);
  memset(early_lib_block, 2, 5000);
}

__attribute__((destructor)) static void on_unload(void) {
  free(early_lib_block);
  char* last = malloc(100000);
  EXPECT(last != NULL);
  memset(last, 3, 100000);
  free(last);
  say("destructor done");
}
