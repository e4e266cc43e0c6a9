/* Frees a static variable. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  static char variable[64] __attribute__((aligned(16)));
  free(crime_name_victim(variable));
  return crime_finish(64);
}
