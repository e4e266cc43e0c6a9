/* Frees an address where nothing is mapped. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  free(crime_name_victim((void*)(uintptr_t)0x123456789000)); /* NOLINT(performance-no-int-to-ptr) */
  return crime_finish(64);
}
