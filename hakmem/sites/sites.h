/* Purpose: site rules: from the call site of a malloc to the named heap of its lifetime class.
 * Owns: the rules of this process, a named heap for each of their classes, the table of known call sites.
 * Invariants:
 *   1. The option SITE_RULES is empty, or its file has no rule: there is no table, no heap, and nothing is paid.
 *   2. Rules and heaps stay as they were read. A call site is looked up once, and its class kept for good: code that is
 *      unmapped, and other code that comes to lie there, has the class of what was there before.
 *   3. What is not known, or has no room in the table, is usual.
 * Threads: any. A known site is found without a lock.
 * Ordering: a site is one word, address and class; nothing else is published by it.
 * Lock: that of the named heaps while a new site is looked up, over system calls: files are read.
 * Cost: off, none. A known site: some 10 instructions. A new one: /proc/self/maps up to its mapping, some 10 us and more;
 *   with rules that name functions, once a file the reading of its symbol table.
 * Fails: what cannot be read is named on stderr, and there are no rules.
 * Fork: inherited; the lock is taken by lifecycle around fork. */
#ifndef HAKMEM_SITES_SITES_H_
#define HAKMEM_SITES_SITES_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"

HAK_BEGIN_DECLS

enum {
  HAK_SITES_TABLE = 8192, /* call sites that can be known, less where many share a place */
  HAK_SITES_MODULES = 256,
  HAK_SITES_RANGES = 1024 /* functions that rules name, found in files */
};

/** What has been looked up. Sync: atomic */
typedef struct hak_sites_figures {
  hak_atomic_u64 rules;
  hak_atomic_u64 known;   /* call sites in the table */
  hak_atomic_u64 routed;  /* of these, with a class */
  hak_atomic_u64 nowhere; /* of these, in no file, or where /proc cannot be read */
  hak_atomic_u64 no_room; /* calls from sites for which the table has no place */
  hak_atomic_u64 unread;  /* modules whose symbols could not be read, or for which there was no room */
} hak_sites_figures;

/** Reads the file of the option SITE_RULES, and routes from now on where it has rules. Called once, when options have been
 *  read. */
void hak_sites_start(void);

const hak_sites_figures* hak_sites_read_figures(void);

/** Forgets all; heaps stay. For tests. */
void hak_sites_reset_for_test(void);

/** For hakmem/view. */
extern const hak_view_part hak_sites_view;

HAK_END_DECLS

#endif /* HAKMEM_SITES_SITES_H_ */
