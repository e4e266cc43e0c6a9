/* As double_free_long_delayed, but every cache was emptied, and filled again with what is free: the victim waits there to
 * be handed out. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  static char* others[64];
  for (int i = 0; i < 32; i++) others[i] = crime_other(64);
  char* victim = crime_victim(64);
  for (int i = 32; i < 64; i++) others[i] = crime_other(64);
  free(victim);
  for (int i = 0; i < 64; i += 2) free(others[i]);
  malloc_trim(0);
  if (crime_other(64) == victim) return 99;
  free(victim);
  return crime_finish(64);
}
