/* Only in libhakmem.so. The dynamic linker relocates a preloaded library before the program, and gives thread-local
 * variables their initial values last of all. malloc called in between, from an IFUNC resolver of the program, would find
 * a NULL heap, where the hit paths expect the empty one. */
#include "hakmem/base/relocation.h"
#include "hakmem/heap/heap.h"

static void set_up_main_thread(void) { hak_heap_set_current(&hak_heap_empty, true, true); }

HAK_RUN_WHEN_RELOCATED(set_up_main_thread);
