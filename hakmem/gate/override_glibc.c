/* What of malloc.h glibc alone has: parameters and figures. Beside override.c wherever libc is glibc. */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>

#include "hakmem/base/base.h"
#include "hakmem/report/report.h"

/** glibc's parameters are accepted, and mean nothing here: HAKMEM's own options are in docs/tuning.md. 0: unknown. */
HAK_EXPORT int mallopt(int parameter, int value) {
  (void)value;
  switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX: return 1;
    default: return 0;
  }
}

HAK_EXPORT struct mallinfo2 mallinfo2(void) {
  const hak_report_figures figures = hak_report_read_figures();
  struct mallinfo2 out = {0};
  const size_t live_small_bytes = figures.live_bytes - figures.live_whale_bytes;
  out.arena = figures.mapped_bytes - figures.live_whale_bytes;
  out.hblks = figures.live_whales;
  out.hblkhd = figures.live_whale_bytes;
  out.uordblks = live_small_bytes;
  out.fordblks = out.arena > live_small_bytes ? out.arena - live_small_bytes : 0;
  out.keepcost = figures.releasable_bytes;
  return out;
}

static int clamp_to_int(size_t n) { return n > INT32_MAX ? INT32_MAX : (int)n; }

/** As mallinfo2, with figures above INT_MAX cut off there. */
HAK_EXPORT struct mallinfo mallinfo(void) {
  const struct mallinfo2 wide = mallinfo2();
  struct mallinfo out = {0};
  out.arena = clamp_to_int(wide.arena);
  out.hblks = clamp_to_int(wide.hblks);
  out.hblkhd = clamp_to_int(wide.hblkhd);
  out.uordblks = clamp_to_int(wide.uordblks);
  out.fordblks = clamp_to_int(wide.fordblks);
  out.keepcost = clamp_to_int(wide.keepcost);
  return out;
}

static void write_to_stream(void* stream, const char* text) { fputs(text, (FILE*)stream); }

/** As malloc_info(3): 0, or -1 and EINVAL when `options` is not 0. */
HAK_EXPORT int malloc_info(int options, FILE* stream) {
  if (options != 0) {
    errno = EINVAL;
    return -1;
  }
  hak_report_xml(write_to_stream, stream);
  return ferror(stream) ? -1 : 0;
}
