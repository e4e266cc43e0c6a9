/* Says to operator delete that the block was smaller than it was. */
#include "hakmem/testing/misuse/crime.h"

/* operator delete(void*, size_t); there in C++ programs, and with most allocators. */
__attribute__((weak)) void _ZdlPvm(void* ptr, size_t size);

int main(void) {
  char* victim = crime_victim(1000);
  if (_ZdlPvm == NULL) {
    say("not offered");
    return 0;
  }
  _ZdlPvm(victim, 64);
  return crime_finish(64);
}
