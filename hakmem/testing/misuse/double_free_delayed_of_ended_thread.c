/* Frees a block twice whose thread has ended, with another of that thread in between. */
#include "hakmem/testing/misuse/crime.h"

enum { BLOCKS = 2 };
static char* blocks[BLOCKS];

static void* allocate_and_end(void* unused) {
  for (int i = 0; i < BLOCKS; i++) blocks[i] = crime_other(64);
  return unused;
}

int main(void) {
  crime_other(64); /* this thread has a heap of its own, and does not take over the other's */
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, allocate_and_end, NULL) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
  char* victim = (char*)crime_name_victim(blocks[0]);
  free(victim);
  free(blocks[1]);
  free(victim);
  return crime_finish(64);
}
