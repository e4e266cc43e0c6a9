/* C++'s operator new and delete, in front of an allocator's own: what they do, they do through malloc, aligned_alloc and
 * free of this library, and are recorded as that. The weak names are libstdc++'s. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))
#define UNUSED __attribute__((unused))

typedef void (*new_handler)(void);

/* std::get_new_handler(), std::__throw_bad_alloc() */
__attribute__((weak)) new_handler _ZSt15get_new_handlerv(void);
__attribute__((weak, noreturn)) void _ZSt17__throw_bad_allocv(void);

enum { PLAIN_ALIGN_BYTES = 16 };

static void* take(size_t alignment, size_t size) {
  return alignment <= PLAIN_ALIGN_BYTES ? malloc(size) : aligned_alloc(alignment, size);
}

static void* new_or_throw(size_t alignment, size_t size) {
  for (;;) {
    void* block = take(alignment, size);
    if (block != NULL) return block;
    const new_handler handler = _ZSt15get_new_handlerv == NULL ? NULL : _ZSt15get_new_handlerv();
    if (handler == NULL) break;
    handler();
  }
  if (_ZSt17__throw_bad_allocv != NULL) _ZSt17__throw_bad_allocv();
  abort();
}

/* A handler may throw, which takes C++ to catch: the forms behind this library's do. */
static void* new_or_null(size_t alignment, size_t size, const void* tag) {
  void* block = take(alignment, size);
  if (block != NULL || _ZSt15get_new_handlerv == NULL || _ZSt15get_new_handlerv() == NULL) return block;
  const bool is_plain = alignment <= PLAIN_ALIGN_BYTES;
  void* next = dlsym(RTLD_NEXT, is_plain ? "_ZnwmRKSt9nothrow_t" : "_ZnwmSt11align_val_tRKSt9nothrow_t");
  if (next == NULL) return NULL;
  if (is_plain) return ((void* (*)(size_t, const void*))next)(size, tag);
  return ((void* (*)(size_t, size_t, const void*))next)(size, alignment, tag);
}

#define EXPORT_NEW(name, parameters, body) \
  EXPORT void* name parameters;            \
  EXPORT void* name parameters { return body; }
#define EXPORT_DELETE(name, parameters) \
  EXPORT void name parameters;          \
  EXPORT void name parameters { free(ptr); }

EXPORT_NEW(_Znwm, (size_t size), new_or_throw(1, size))
EXPORT_NEW(_Znam, (size_t size), new_or_throw(1, size))
EXPORT_NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void* tag), new_or_null(1, size, tag))
EXPORT_NEW(_ZnamRKSt9nothrow_t, (size_t size, const void* tag), new_or_null(1, size, tag))
EXPORT_NEW(_ZnwmSt11align_val_t, (size_t size, size_t alignment), new_or_throw(alignment, size))
EXPORT_NEW(_ZnamSt11align_val_t, (size_t size, size_t alignment), new_or_throw(alignment, size))
EXPORT_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void* tag),
           new_or_null(alignment, size, tag))
EXPORT_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void* tag),
           new_or_null(alignment, size, tag))

EXPORT_DELETE(_ZdlPv, (void* ptr))
EXPORT_DELETE(_ZdaPv, (void* ptr))
EXPORT_DELETE(_ZdlPvm, (void* ptr, UNUSED size_t size))
EXPORT_DELETE(_ZdaPvm, (void* ptr, UNUSED size_t size))
EXPORT_DELETE(_ZdlPvRKSt9nothrow_t, (void* ptr, UNUSED const void* tag))
EXPORT_DELETE(_ZdaPvRKSt9nothrow_t, (void* ptr, UNUSED const void* tag))
EXPORT_DELETE(_ZdlPvSt11align_val_t, (void* ptr, UNUSED size_t alignment))
EXPORT_DELETE(_ZdaPvSt11align_val_t, (void* ptr, UNUSED size_t alignment))
EXPORT_DELETE(_ZdlPvmSt11align_val_t, (void* ptr, UNUSED size_t size, UNUSED size_t alignment))
EXPORT_DELETE(_ZdaPvmSt11align_val_t, (void* ptr, UNUSED size_t size, UNUSED size_t alignment))
EXPORT_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void* ptr, UNUSED size_t alignment, UNUSED const void* tag))
EXPORT_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void* ptr, UNUSED size_t alignment, UNUSED const void* tag))
