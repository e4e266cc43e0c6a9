/* What threads still do with memory as they end: destructors of 8 keys, three rounds each, and of C++'s thread_local
 * variables. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { KEYS = 8, KEY_ROUNDS = 3, THREADS = 200, AT_ONCE = 20, BLOCK_BYTES = 400 };

/* libc's, behind thread_local. */
int __cxa_thread_atexit_impl(void (*function)(void*), void* object, void* library); /* NOLINT */
extern void* __dso_handle;                                                          /* NOLINT */

typedef struct legacy {
  pthread_key_t key;
  int rounds_left;
  char* block;
} legacy;

static pthread_key_t keys[KEYS];

static char* new_block(char mark, size_t size) {
  char* block = malloc(size);
  EXPECT(block != NULL);
  return memset(block, mark, size);
}

static void destroy(void* value) {
  legacy* old = value;
  for (int i = 0; i < BLOCK_BYTES; i++) EXPECT(old->block[i] == 3);
  old->block = realloc(old->block, BLOCK_BYTES * 3); /* another class, then back */
  EXPECT(old->block != NULL && old->block[BLOCK_BYTES - 1] == 3);
  free(old->block);
  old->block = new_block(3, BLOCK_BYTES);
  free(new_block(5, 300000));
  if (--old->rounds_left > 0) {
    EXPECT(pthread_setspecific(old->key, old) == 0);
    return;
  }
  free(old->block);
  free(old);
}

static void free_thread_local(void* block) { free(block); }

static void* live(void* unused) {
  (void)unused;
  for (int i = 0; i < KEYS; i++) {
    legacy* fresh = malloc(sizeof(legacy));
    EXPECT(fresh != NULL);
    *fresh = (legacy){keys[i], KEY_ROUNDS, new_block(3, BLOCK_BYTES)};
    EXPECT(pthread_setspecific(keys[i], fresh) == 0);
  }
  for (size_t size = 16; size < 5000000; size *= 9) {
    EXPECT(__cxa_thread_atexit_impl(free_thread_local, new_block(7, size), &__dso_handle) == 0);
  }
  return NULL;
}

int main(void) {
  for (int i = 0; i < KEYS; i++) EXPECT(pthread_key_create(&keys[i], destroy) == 0);
  for (int i = 0; i < THREADS / AT_ONCE; i++) {
    pthread_t threads[AT_ONCE];
    for (int t = 0; t < AT_ONCE; t++) EXPECT(pthread_create(&threads[t], NULL, live, NULL) == 0);
    for (int t = 0; t < AT_ONCE; t++) EXPECT(pthread_join(threads[t], NULL) == 0);
  }
  say("ok");
  return 0;
}
