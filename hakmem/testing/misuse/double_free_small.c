/* Frees a block twice in a row. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  free(victim);
  free(victim);
  return crime_finish(64);
}
