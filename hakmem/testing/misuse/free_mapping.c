/* Frees what the program has mapped itself. */
#include <sys/mman.h>

#include "hakmem/testing/misuse/crime.h"

int main(void) {
  void* mapping = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(mapping != MAP_FAILED);
  free(crime_name_victim((char*)mapping + 4096));
  return crime_finish(64);
}
