/* Purpose: to run code while the dynamic linker relocates this very library, before any other code of the process that
 *   comes later in the order of relocation: that of the program, where this library is preloaded.
 * Owns: nothing.
 * Invariants:
 *   1. The code runs once, in the main thread or in the one that calls dlopen, with libc relocated and thread-local
 *      variables there but without their initial values.
 * Threads: one.
 * Cost: an entry in the dynamic relocations.
 * Fails: where libc has no IFUNC, nothing is run. In a static program the code would run before there is a thread
 *   pointer, so it belongs into shared libraries only.
 * Fork: nothing to do. */
#ifndef HAKMEM_BASE_RELOCATION_H_
#define HAKMEM_BASE_RELOCATION_H_

#include <features.h>

#ifdef __GLIBC__
/** Has `function`, void (void), called when the library is relocated. It is the resolver of an IFUNC, which the
 *  constructor calls because nothing would be resolved otherwise. */
#define HAK_RUN_WHEN_RELOCATED(function)                                                 \
  static void hak_relocated_nothing(void) {}                                             \
  __attribute__((used)) static void (*hak_relocated_resolve(void))(void) {               \
    function();                                                                          \
    return hak_relocated_nothing;                                                        \
  }                                                                                      \
  static void hak_relocated(void) __attribute__((ifunc("hak_relocated_resolve")));       \
  __attribute__((constructor)) static void hak_relocated_keep(void) { hak_relocated(); } \
  struct hak_relocated_end
#else
#define HAK_RUN_WHEN_RELOCATED(function)                                             \
  __attribute__((unused)) static void (*const hak_relocated_never)(void) = function; \
  struct hak_relocated_end
#endif

#endif /* HAKMEM_BASE_RELOCATION_H_ */
