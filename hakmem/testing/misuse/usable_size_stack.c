/* Asks for the size of a local variable. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char local[64] __attribute__((aligned(16)));
  memset(local, 0, sizeof local);
  const size_t size = malloc_usable_size(crime_name_victim(local));
  (void)size;
  return crime_finish(64);
}
