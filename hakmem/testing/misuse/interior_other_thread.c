/* Another thread frees a pointer into the middle of a block. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = (char*)crime_name_victim(crime_other(64) + 16);
  crime_free_in_thread(victim);
  return crime_finish(64);
}
