/* The thread that allocated a block frees it, then another does. */
#include <pthread.h>

#include "hakmem/testing/misuse/crime.h"

static void* free_it(void* ptr) {
  free(ptr);
  return NULL;
}

static void free_in_thread(void* ptr) {
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, free_it, ptr) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
}

int main(void) {
  char* victim = crime_victim(64);
  free(victim);
  free_in_thread(victim);
  return crime_finish(64);
}
