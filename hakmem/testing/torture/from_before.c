/* LIBRARY: a program on libc's malloc that has blocks already when it loads HAKMEM, and frees one of them with it. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  char* before = malloc(200);
  EXPECT(before != NULL);
  memset(before, 5, 200);
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  EXPECT(library != NULL);
  void* (*its_malloc)(size_t) = (void* (*)(size_t))dlsym(library, "malloc");
  void (*its_free)(void*) = (void (*)(void*))dlsym(library, "free");
  EXPECT(its_malloc != NULL && its_free != NULL && its_free != free);
  its_free(its_malloc(100));
  char line[64];
  snprintf(line, sizeof line, "0x%llx", (unsigned long long)(uintptr_t)before);
  say(line);
  its_free(before);
  for (int i = 0; i < 200; i++) EXPECT(before[i] == 5);
  free(before);
  say("went on");
  return 0;
}
