/* Frees a block of malloc with operator delete[]. */
#include "hakmem/testing/misuse/crime.h"

/* operator delete[](void*); there in C++ programs, and with most allocators. */
__attribute__((weak)) void _ZdaPv(void* ptr);

int main(void) {
  char* victim = crime_victim(64);
  if (_ZdaPv == NULL) {
    say("not offered");
    return 0;
  }
  _ZdaPv(victim);
  return crime_finish(64);
}
