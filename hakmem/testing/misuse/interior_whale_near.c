/* Frees a pointer 16 bytes into a block of 4 MB: where a block would be behind a header. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = (char*)crime_name_victim(crime_other(4000000) + 16);
  free(victim);
  return crime_finish(4000000);
}
