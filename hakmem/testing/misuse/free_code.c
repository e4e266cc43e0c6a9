/* Frees a function. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  free(crime_name_victim((void*)(uintptr_t)main));
  return crime_finish(64);
}
