/* Purpose: what readers outside the process find HAKMEM by: one exported symbol, from which all of the heap can be walked.
 * Owns: hak_view.
 * Invariants:
 *   1. hak_view is constant, and its `self` is its address: a copy that lies elsewhere is none.
 *   2. A reader that knows HAK_VIEW_ABI can walk the heap by the parts alone (view_part.h), whatever else has changed.
 * Threads: nothing here runs. What is read meanwhile may be torn; the reader sees to that.
 * Cost: none at run time; the pointers lie on the page that the dynamic linker writes to anyway.
 * Fails: never.  Fork: nothing to do. */
#ifndef HAKMEM_VIEW_VIEW_H_
#define HAKMEM_VIEW_VIEW_H_

#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"

HAK_BEGIN_DECLS

/** Raised when a structure, field or root that readers use goes, or means something else. */
enum { HAK_VIEW_ABI = 1 };

enum { HAK_VIEW_PARTS = 17 };

/** How the library was built: HAK_CFG_* as bits. */
enum { HAK_VIEW_ASAN = 1, HAK_VIEW_DEBUG = 2, HAK_VIEW_PARANOID = 4 };

/** The beginning is the same in every version, up to `version`. */
typedef struct hak_view_header {
  char magic[16]; /* HAK_VIEW_MAGIC, once in a process */
  const struct hak_view_header* self;
  uint32_t header_bytes;
  uint32_t abi;
  char version[24]; /* of the library, "major.minor.patch" */
  uint32_t build;
  uint32_t part_count;
  uint32_t field_bytes; /* of a row */
  uint32_t root_bytes;
  const hak_view_part* parts[HAK_VIEW_PARTS];
} hak_view_header;

#define HAK_VIEW_MAGIC "HAKMEM\x01view\x1a\n\r\xff"

HAK_EXPORT extern const hak_view_header hak_view;

/** Called once by the process. Does nothing: linkers leave out what nobody refers to. */
HAK_ALWAYS_INLINE void hak_view_keep(void) { __asm__ volatile("" : : "r"(&hak_view)); }

HAK_END_DECLS

#endif /* HAKMEM_VIEW_VIEW_H_ */
