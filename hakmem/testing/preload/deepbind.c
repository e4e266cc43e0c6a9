/* LIBRARY CASE: passes blocks between this program and a library loaded with RTLD_DEEPBIND. */
#include <dlfcn.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { BYTES = 64 };

int main(int argc, char** argv) {
  EXPECT(argc == 3);
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
  if (strcmp(argv[2], "missing") == 0) {
    EXPECT(library == NULL);
    say(dlerror());
    return 0;
  }
  EXPECT(library != NULL);
  void* (*its_malloc)(size_t) = (void* (*)(size_t))dlsym(library, "deepbind_malloc");
  void (*its_free)(void*) = (void (*)(void*))dlsym(library, "deepbind_free");
  EXPECT(its_malloc != NULL && its_free != NULL);
  if (strcmp(argv[2], "apart") == 0) {
    its_free(its_malloc(BYTES));
    free(launder(malloc(BYTES)));
  } else if (strcmp(argv[2], "ours") == 0) {
    char* before = calloc(1, BYTES); /* what libc takes for the head of the block: zeros */
    char* block = calloc(1, BYTES);
    EXPECT(before != NULL && block != NULL);
    its_free(block);
  } else {
    free(its_malloc(BYTES));
  }
  say("ok");
  return 0;
}
