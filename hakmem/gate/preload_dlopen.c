/* Only in libhakmem.so: dlopen without RTLD_DEEPBIND. The flag makes a library look into its own dependencies first, finds
 * libc's malloc there whatever is preloaded, and a block that passes between the library and the rest of the process then
 * reaches the wrong free. docs/adr/0006-no-deep-binding.md. */
#include <dlfcn.h>

#include "hakmem/base/base.h"
#include "hakmem/gate/next_inl.h"

typedef void* (*dlopen_function)(const char* path, int mode);

HAK_EXPORT void* dlopen(const char* path, int mode);

/* libc's, or that of the next library that has one. */
static dlopen_function next_dlopen(void) {
  static hak_atomic_ptr known;
  return (dlopen_function)hak_next_of(&known, "dlopen");
}

/* dlopen looks at its return address, for the caller's run path and name space. The call is the last act of this function,
 * so an optimised build makes it a jump and libc sees the true caller. */
void* dlopen(const char* path, int mode) {
  const dlopen_function next = next_dlopen();
  if (next == NULL) return NULL; /* dlsym has left a message for dlerror */
  return next(path, mode & ~RTLD_DEEPBIND);
}
