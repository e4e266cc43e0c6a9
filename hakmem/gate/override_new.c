/* C++'s operator new and delete under their Itanium ABI names, so that the library needs no C++ run-time. Where the
 * program has one, its new-handler is called and std::bad_alloc thrown by it; the weak names below are libstdc++'s. */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "hakmem/base/base.h"
#include "hakmem/base/print.h"
#include "hakmem/gate/gate.h"
#include "hakmem/gate/gate_inl.h"
#include "hakmem/instrument/instrument.h"

typedef void (*new_handler)(void);

/* std::get_new_handler(), std::__throw_bad_alloc() */
__attribute__((weak)) new_handler _ZSt15get_new_handlerv(void);
__attribute__((weak, noreturn)) void _ZSt17__throw_bad_allocv(void);
/* In static programs and with older libcs only where something else brought it in. */
__attribute__((weak)) void* dlsym(void* library, const char* name);

__attribute__((noreturn)) static void throw_bad_alloc(void) {
  if (_ZSt17__throw_bad_allocv != NULL) _ZSt17__throw_bad_allocv();
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: operator new is out of memory, and there is no C++ run-time to throw std::bad_alloc\n");
  hak_print_flush(&line, STDERR_FILENO);
  abort();
}

/* Asks the program's new-handler to make room. False: it has none. The handler may throw. */
static bool call_new_handler(void) {
  if (_ZSt15get_new_handlerv == NULL) return false;
  const new_handler handler = _ZSt15get_new_handlerv();
  if (handler == NULL) return false;
  handler();
  return true;
}

/* For a call of operator new that returns to `caller`. */
static void* aligned_for(const void* caller, size_t alignment, size_t size) {
  const bool is_outermost = hak_gate_begin(caller);
  void* block = hak_gate_aligned(alignment, size);
  hak_instrument_end(is_outermost);
  return block;
}

static HAK_SLOW void* new_slow(size_t alignment, size_t size, bool may_throw) {
  for (;;) {
    void* block = aligned_for(__builtin_return_address(0), alignment, size);
    if (block != NULL) return block;
    if (!call_new_handler()) break;
  }
  if (may_throw) throw_bad_alloc();
  return NULL;
}

/* The nothrow forms: NULL also where the handler throws. To catch that takes C++, so the run-time's own forms are asked,
 * which call the throwing forms above them and catch. Without a shared C++ run-time the exception ends the program. */
static HAK_SLOW void* new_nothrow_slow(size_t alignment, size_t size, const void* tag) {
  void* block = aligned_for(__builtin_return_address(0), alignment, size);
  if (block != NULL) return block;
  const bool plain = alignment <= HAK_MIN_ALIGN_BYTES;
  void* next =
      dlsym == NULL ? NULL : dlsym(RTLD_NEXT, plain ? "_ZnwmRKSt9nothrow_t" : "_ZnwmSt11align_val_tRKSt9nothrow_t");
  if (next == NULL) return new_slow(alignment, size, false);
  if (plain) return ((void* (*)(size_t, const void*))next)(size, tag);
  return ((void* (*)(size_t, size_t, const void*))next)(size, alignment, tag);
}

static HAK_NOINLINE void* new_or_throw(size_t size) {
  const bool is_outermost = hak_gate_begin(__builtin_return_address(0));
  void* block = hak_gate_malloc_missed(size);
  hak_instrument_end(is_outermost);
  return HAK_LIKELY(block != NULL) ? block : new_slow(HAK_MIN_ALIGN_BYTES, size, true);
}

static HAK_NOINLINE void* new_or_null(size_t size, const void* tag) {
  const bool is_outermost = hak_gate_begin(__builtin_return_address(0));
  void* block = hak_gate_malloc_missed(size);
  hak_instrument_end(is_outermost);
  return HAK_LIKELY(block != NULL) ? block : new_nothrow_slow(HAK_MIN_ALIGN_BYTES, size, tag);
}

/* A miss leaves by a tail call, so that a hit saves no register and looks at no result: it costs what malloc's does. */
HAK_ALWAYS_INLINE void* new_block(size_t size) {
  void* block;
  return HAK_LIKELY(hak_gate_try_hit(size, &block)) ? block : new_or_throw(size);
}

HAK_ALWAYS_INLINE void* new_block_nothrow(size_t size, const void* tag) {
  void* block;
  return HAK_LIKELY(hak_gate_try_hit(size, &block)) ? block : new_or_null(size, tag);
}

/* Declares and defines one exported function. */
#define EXPORT_NEW(name, parameters, body) \
  HAK_EXPORT void* name parameters;        \
  HAK_EXPORT HAK_HIT_PATH void* name parameters { return body; }
#define EXPORT_DELETE(name, parameters) \
  HAK_EXPORT void name parameters;      \
  HAK_EXPORT HAK_HIT_PATH void name parameters { hak_gate_free(ptr); }

/* The tag is std::nothrow_t's address; the size and alignment of a delete are the block's and not needed. */
EXPORT_NEW(_Znwm, (size_t size), new_block(size))
EXPORT_NEW(_Znam, (size_t size), new_block(size))
EXPORT_NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void* tag), new_block_nothrow(size, tag))
EXPORT_NEW(_ZnamRKSt9nothrow_t, (size_t size, const void* tag), new_block_nothrow(size, tag))
EXPORT_NEW(_ZnwmSt11align_val_t, (size_t size, size_t alignment), new_slow(alignment, size, true))
EXPORT_NEW(_ZnamSt11align_val_t, (size_t size, size_t alignment), new_slow(alignment, size, true))
EXPORT_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void* tag),
           new_nothrow_slow(alignment, size, tag))
EXPORT_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void* tag),
           new_nothrow_slow(alignment, size, tag))

#define UNUSED __attribute__((unused))
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
