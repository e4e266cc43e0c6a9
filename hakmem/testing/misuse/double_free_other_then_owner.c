/* Another thread frees a block, then the one that allocated it does. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  crime_free_in_thread(victim);
  free(victim);
  return crime_finish(64);
}
