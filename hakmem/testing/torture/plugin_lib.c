/* A library that comes and goes. */
#include <pthread.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

__attribute__((visibility("default"))) char* plugin_make(size_t size);
__attribute__((visibility("default"))) void plugin_keep(char* block);
__attribute__((visibility("default"))) void plugin_use(void);

static char* from_constructor;
static char* kept;
static pthread_key_t key;

char* plugin_make(size_t size) {
  char* block = malloc(size);
  EXPECT(block != NULL);
  return memset(block, 1, size);
}

void plugin_keep(char* block) { kept = block; }

void plugin_use(void) { EXPECT(pthread_setspecific(key, plugin_make(3000)) == 0); }

__attribute__((constructor)) static void on_load(void) {
  from_constructor = plugin_make(100000);
  EXPECT(pthread_key_create(&key, free) == 0);
}

__attribute__((destructor)) static void on_unload(void) {
  EXPECT(pthread_key_delete(key) == 0);
  free(from_constructor);
  free(kept);
}
