/* Frees a block, gets it again as another, and frees both. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  free(victim);
  char* again = crime_other(64);
  free(victim);
  free(again);
  return crime_finish(64);
}
