/* Loaded with RTLD_DEEPBIND: its malloc and free are libc's, whatever is preloaded. */
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

__attribute__((visibility("default"))) void* deepbind_malloc(size_t size);
__attribute__((visibility("default"))) void deepbind_free(void* ptr);

void* deepbind_malloc(size_t size) { return malloc(size); }
void deepbind_free(void* ptr) { free(launder(ptr)); }
