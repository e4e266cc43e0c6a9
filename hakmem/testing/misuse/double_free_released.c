/* Frees every block of many pages, so that their slabs go back to the pool, then one of them again. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(20000);
  static char* others[200];
  for (int i = 0; i < 200; i++) others[i] = crime_other(20000);
  free(victim);
  for (int i = 0; i < 200; i++) free(others[i]);
  malloc_trim(0);
  free(victim);
  return crime_finish(20000);
}
