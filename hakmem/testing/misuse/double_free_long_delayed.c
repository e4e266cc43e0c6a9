/* Frees a block twice, with 1,000 others freed in between: the victim has left the caches by then. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  static char* others[1000];
  for (int i = 0; i < 1000; i++) others[i] = crime_other(64);
  free(victim);
  for (int i = 0; i < 1000; i++) free(others[i]);
  free(victim);
  return crime_finish(64);
}
