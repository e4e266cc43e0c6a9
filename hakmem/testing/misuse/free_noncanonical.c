/* Frees a value that can be no address at all. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  free(crime_name_victim((void*)(uintptr_t)0xdeadbeefdeadbee0)); /* NOLINT(performance-no-int-to-ptr) */
  return crime_finish(64);
}
