/* Frees a block twice whose thread has ended. */
#include "hakmem/testing/misuse/crime.h"

static void* allocate_and_end(void* unused) {
  (void)unused;
  return crime_other(64);
}

int main(void) {
  pthread_t thread;
  void* block = NULL;
  EXPECT(pthread_create(&thread, NULL, allocate_and_end, NULL) == 0);
  EXPECT(pthread_join(thread, &block) == 0);
  char* victim = (char*)crime_name_victim(block);
  free(victim);
  free(victim);
  return crime_finish(64);
}
