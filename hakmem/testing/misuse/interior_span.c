/* Frees a pointer into the middle of a block of 300,000 bytes. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = (char*)crime_name_victim(crime_other(300000) + 8192);
  free(victim);
  return crime_finish(300000);
}
