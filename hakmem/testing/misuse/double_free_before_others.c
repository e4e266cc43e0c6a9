/* As double_free_delayed_small, but the program goes on freeing: the caches run over. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  static char* others[1000];
  for (int i = 0; i < 1000; i++) others[i] = crime_other(64);
  free(victim);
  free(others[0]);
  free(victim);
  for (int i = 1; i < 1000; i++) free(others[i]);
  return crime_finish(64);
}
