/* Only in libhakmem.so: registrations of fork handlers, which pthread_atfork makes by this function of libc. HAKMEM's own
 * come before the first of the application's, and not before there is need: docs/adr/0014-fork-handlers-when-needed.md. */
#include <errno.h>

#include "hakmem/base/base.h"
#include "hakmem/gate/next_inl.h"
#include "hakmem/lifecycle/lifecycle.h"

typedef int (*register_function)(void (*prepare)(void), void (*parent)(void), void (*child)(void), void* library);

HAK_EXPORT int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void* library);

/* libc's, or that of the next library that has one. */
static register_function next_register(void) {
  static hak_atomic_ptr known HAK_START_DATA;
  return (register_function)hak_next_of(&known, "__register_atfork");
}

bool hak_lifecycle_sees_registrations(void) { return true; }

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void* library) {
  hak_lifecycle_guard_forks(); /* comes back here with HAKMEM's own */
  const register_function next = next_register();
  return next == NULL ? ENOSYS : next(prepare, parent, child, library);
}

/* dlsym takes the dynamic linker's lock. Later a thread that holds it might wait, in malloc, for one that registers. */
__attribute__((constructor)) static void find_next_early(void) { (void)next_register(); }
