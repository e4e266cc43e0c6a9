/* One other thread frees a block twice. */
#include <pthread.h>

#include "hakmem/testing/misuse/crime.h"

static void* free_it_twice(void* ptr) {
  free(ptr);
  free(launder(ptr));
  return NULL;
}

int main(void) {
  char* victim = crime_victim(64);
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, free_it_twice, victim) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
  return crime_finish(64);
}
