/* Resizes a local variable. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char local[64] __attribute__((aligned(16)));
  memset(local, 0, sizeof local);
  char* resized = (char*)launder(realloc(crime_name_victim(local), 100));
  free(resized);
  return crime_finish(64);
}
