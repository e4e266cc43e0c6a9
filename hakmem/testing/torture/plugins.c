/* LIBRARY: loads it and unloads it again and again while other threads allocate. Blocks outlive the library that made
 * them, and the library frees blocks that it did not make, in its destructor too. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { ROUNDS = 200, BLOCKS = 50, WORKERS = 2 };

static atomic_bool stop;

static void* churn(void* unused) {
  (void)unused;
  while (!atomic_load(&stop)) {
    char* blocks[100];
    for (size_t i = 0; i < 100; i++) blocks[i] = launder(malloc(i * 50));
    for (size_t i = 0; i < 100; i++) free(blocks[i]);
  }
  return NULL;
}

static void* call(void* function) {
  ((void (*)(void))function)(); /* its thread-local variables have a destructor */
  return NULL;
}

static void load_once(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) say(dlerror());
  EXPECT(library != NULL);
  char* (*make)(size_t) = (char* (*)(size_t))dlsym(library, "plugin_make");
  void (*keep)(char*) = (void (*)(char*))dlsym(library, "plugin_keep");
  void* use = dlsym(library, "plugin_use");
  EXPECT(make != NULL && keep != NULL && use != NULL);
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, call, use) == 0);
  char* blocks[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) blocks[i] = make(1 + i * i * i);
  keep(launder(malloc(5000)));
  EXPECT(pthread_join(thread, NULL) == 0);
  EXPECT(dlclose(library) == 0);
  for (size_t i = 0; i < BLOCKS; i++) {
    EXPECT(blocks[i][0] == 1 && blocks[i][i * i * i] == 1);
    blocks[i] = realloc(blocks[i], 2 + i * i * i * 2);
    EXPECT(blocks[i] != NULL && blocks[i][0] == 1);
    free(blocks[i]);
  }
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  pthread_t workers[WORKERS];
  for (int i = 0; i < WORKERS; i++) EXPECT(pthread_create(&workers[i], NULL, churn, NULL) == 0);
  for (int i = 0; i < ROUNDS; i++) load_once(argv[1]);
  EXPECT(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL); /* it was unloaded indeed */
  atomic_store(&stop, true);
  for (int i = 0; i < WORKERS; i++) EXPECT(pthread_join(workers[i], NULL) == 0);
  say("ok");
  return 0;
}
