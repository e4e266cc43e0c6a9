/* The thread that allocated a block frees it, then another does. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  free(victim);
  crime_free_in_thread(victim);
  return crime_finish(64);
}
