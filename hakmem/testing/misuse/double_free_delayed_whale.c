/* Frees a block twice, with one other block freed in between. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(4000000);
  char* other = crime_other(4000000);
  free(victim);
  free(other);
  free(victim);
  return crime_finish(4000000);
}
