/* Frees a local variable. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char local[64] __attribute__((aligned(16)));
  memset(local, 0, sizeof local);
  free(crime_name_victim(local));
  return crime_finish(64);
}
