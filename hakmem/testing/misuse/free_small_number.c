/* Frees a small number, a member of a NULL struct say. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  free(crime_name_victim((void*)(uintptr_t)0x20)); /* NOLINT(performance-no-int-to-ptr) */
  return crime_finish(64);
}
