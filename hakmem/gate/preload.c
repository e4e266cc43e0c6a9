/* Only in libhakmem.so. The dynamic linker relocates a preloaded library before the program, and gives thread-local
 * variables their initial values last of all. malloc called in between, from an IFUNC resolver of the program, would find
 * a NULL heap, where the hit paths expect the empty one. So the library has an IFUNC of its own, for the sake of what
 * its resolver does: it runs when the library is relocated, which is in time.
 *
 * Not for static programs: their IFUNCs are resolved before there is a thread pointer. */
#include <features.h>

#include "hakmem/heap/heap.h"

#ifdef __GLIBC__ /* others have no IFUNC */

static void do_nothing(void) {}

__attribute__((used)) static void (*set_up_main_thread(void))(void) {
  hak_heap_current = &hak_heap_empty;
  return do_nothing;
}

static void ready(void) __attribute__((ifunc("set_up_main_thread")));

/* Without a call there would be nothing to resolve. */
__attribute__((constructor)) static void call_ready(void) { ready(); }

#endif
