/* Frees a pointer into the middle of a block that was asked for with an alignment. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* block = (char*)launder(memalign(1024, 5000));
  EXPECT(block != NULL);
  free(crime_name_victim(block + 1024));
  return crime_finish(5000);
}
