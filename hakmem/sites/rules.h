/* Purpose: the file of site rules: what each line says, and what is wrong with those that say nothing.
 * Owns: nothing; rules point into the caller's text.
 * Invariants:
 *   1. A line is a rule, is empty but for blanks and a comment, or is named once on stderr. What is wrong with one does not
 *      touch the others.
 *   2. Rules stand in the order of their lines: the first that fits a call site has it.
 * Threads: a table belongs to who reads it.  Cost: O(length).
 * Fails: a line that does not fit a bound is named, as any other that is wrong.  Fork: nothing to do.
 *
 *   # a comment
 *   CLASS MODULE+0xOFFSET      the call that returns to this byte of the file that it is mapped from
 *   CLASS MODULE!FUNCTION      every call in this function of that file
 *   CLASS FUNCTION             the same in any file
 *
 * MODULE is the path of a program or library, or what follows the last slash of it. FUNCTION is the name in the symbol table;
 * parts that the compiler has split off (name.cold) belong to it. CLASS is a word of letters, digits, - and _; `usual` takes a
 * site out of the rules below. */
#ifndef HAKMEM_SITES_RULES_H_
#define HAKMEM_SITES_RULES_H_

#include "hakmem/base/base.h"
#include "hakmem/base/slice.h"

HAK_BEGIN_DECLS

enum {
  HAK_SITE_RULES_MAX = 1024,
  /** Besides `usual`, which is class 0. */
  HAK_SITE_CLASSES_MAX = 8,
  HAK_SITE_CLASS_BYTES_MAX = 16
};

typedef struct hak_site_rule {
  hak_slice module;   /* empty: any */
  hak_slice function; /* empty: `offset` says where */
  uint64_t offset;
  uint32_t class_number;
  uint32_t line;
} hak_site_rule;

typedef struct hak_site_rules {
  uint32_t count;
  uint32_t class_count;                        /* `usual` among them, as soon as something has been read */
  uint32_t function_count;                     /* rules that name a function */
  hak_slice classes[HAK_SITE_CLASSES_MAX + 1]; /* names */
  hak_site_rule rows[HAK_SITE_RULES_MAX];
} hak_site_rules;

/** Reads `text`, the contents of the file at `path`, whose end it may lack. */
void hak_site_rules_read(hak_site_rules* out, const char* path, hak_slice text, bool is_cut_off);

/** True when a rule for `module` is one for the file at `path`. */
bool hak_site_rules_is_module(hak_slice module, const char* path);

HAK_END_DECLS

#endif /* HAKMEM_SITES_RULES_H_ */
