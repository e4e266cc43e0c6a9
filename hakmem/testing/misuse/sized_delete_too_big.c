/* Says to operator delete that the block was larger than it can have been. */
#include "hakmem/testing/misuse/crime.h"

/* operator delete(void*, size_t); there in C++ programs, and with most allocators. */
__attribute__((weak)) void _ZdlPvm(void* ptr, size_t size);

int main(void) {
  char* victim = crime_victim(64);
  if (_ZdlPvm == NULL) {
    say("not offered");
    return 0;
  }
  _ZdlPvm(victim, 1000);
  return crime_finish(1000);
}
