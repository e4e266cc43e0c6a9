/* Frees a pointer into the far end of a block of 4 MB. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = (char*)crime_name_victim(crime_other(4000000) + 3000000);
  free(victim);
  return crime_finish(4000000);
}
