/* LIBRARY HUNGRY...: a program on libc's malloc that loads libhakmem.so, after libraries that use up the room for
 * thread-local variables, and calls it from threads that were there before and threads that come later. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { THREADS = 4, BLOCKS = 1000 };

static void* (*their_malloc)(size_t);
static void (*their_free)(void*);
static bool (*their_is_in_heap)(const void*);
static pthread_barrier_t loaded;
static char* kept[THREADS];

static void use_heap(char mark) {
  char* blocks[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) {
    blocks[i] = their_malloc(i * 3 + 1);
    EXPECT(blocks[i] != NULL && their_is_in_heap(blocks[i]));
    memset(blocks[i], mark, i * 3 + 1);
  }
  for (size_t i = 0; i < BLOCKS; i++) {
    EXPECT(blocks[i][0] == mark && blocks[i][i * 3] == mark);
    their_free(blocks[i]);
  }
}

static void* older_than_the_library(void* arg) {
  pthread_barrier_wait(&loaded);
  char** mine = arg;
  use_heap((char)(mine - kept));
  *mine = their_malloc(100);
  memset(*mine, 5, 100);
  return NULL;
}

static void* younger_than_the_library(void* unused) {
  (void)unused;
  use_heap(9);
  return NULL;
}

static void expect_libcs_malloc(void) {
  char* block = malloc(100);
  EXPECT(block != NULL && !their_is_in_heap(block));
  free(block);
}

static void load_hungry(char** names) {
  for (; *names != NULL; names++) {
    void* library = dlopen(*names, RTLD_NOW);
    EXPECT(library != NULL);
    int (*touch)(void) = (int (*)(void))dlsym(library, "hungry_touch");
    EXPECT(touch != NULL && touch() == 1);
  }
}

int main(int argc, char** argv) {
  EXPECT(argc >= 2);
  EXPECT(pthread_barrier_init(&loaded, NULL, THREADS + 1) == 0);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    EXPECT(pthread_create(&threads[i], NULL, older_than_the_library, &kept[i]) == 0);
  }
  load_hungry(argv + 2);
  void* library = dlopen(argv[1], RTLD_NOW);
  if (library == NULL) say(dlerror());
  EXPECT(library != NULL);
  their_malloc = (void* (*)(size_t))dlsym(library, "hak_malloc");
  their_free = (void (*)(void*))dlsym(library, "hak_free");
  their_is_in_heap = (bool (*)(const void*))dlsym(library, "hak_is_in_heap");
  EXPECT(their_malloc != NULL && their_free != NULL && their_is_in_heap != NULL);
  expect_libcs_malloc();
  pthread_barrier_wait(&loaded);
  use_heap(7);
  EXPECT(dlclose(library) == 0); /* it stays: threads that have its blocks are running */
  for (int i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
  for (int i = 0; i < THREADS; i++) {
    EXPECT(kept[i][0] == 5 && kept[i][99] == 5);
    their_free(kept[i]);
  }
  EXPECT(pthread_create(&threads[0], NULL, younger_than_the_library, NULL) == 0);
  EXPECT(pthread_join(threads[0], NULL) == 0);
  EXPECT(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) != NULL);
  expect_libcs_malloc();
  say("ok");
  return 0;
}
