/* Purpose: how a box describes its structures and variables to readers outside the process.
 * Owns: nothing; constants that the compiler makes from the declarations, so that they cannot be wrong.
 * Invariants:
 *   1. A part is constant, needs no relocation but for addresses, and is read by nobody in the process.
 *   2. Names are those of the C declarations, without hak_.
 * Threads: any.  Cost: none at run time; some 60 bytes of the file a row.  Fails: never.  Fork: nothing to do.
 *
 * A box that has something to show defines one part at the end of each file that has it, and hakmem/view lists the parts:
 *
 *     #define ROWS HAK_VIEW_STRUCTURE("whale", hak_whale) HAK_VIEW_FIELDS("whale", hak_whale, base, size_bytes)
 *     #define ROOTS(ROOT) ROOT("whales", whales)
 *     HAK_VIEW_PART(hak_whale_cache_view, ROWS, ROOTS);
 *
 * The reader (tools/hakmem_lib) finds a field by its names, so new ones harm nobody; one that goes or changes its meaning
 * makes a new HAK_VIEW_ABI. */
#ifndef HAKMEM_BASE_VIEW_PART_H_
#define HAKMEM_BASE_VIEW_PART_H_

#include "hakmem/base/base.h"

enum { HAK_VIEW_NAME_BYTES = 24 };

/** A field of a structure; name "": the structure itself. */
typedef struct hak_view_field {
  char structure[HAK_VIEW_NAME_BYTES];
  char name[HAK_VIEW_NAME_BYTES];
  uint32_t offset;
  uint32_t size;  /* bytes of one element */
  uint32_t count; /* elements; 1 for what is no array */
} hak_view_field;

/** A variable, where the walk begins. */
typedef struct hak_view_root {
  char name[HAK_VIEW_NAME_BYTES];
  uint32_t size; /* of all of it */
} hak_view_root;

typedef struct hak_view_part {
  const hak_view_field* fields;
  const hak_view_root* roots;
  const void* const* addresses; /* of the roots, in the same order */
  uint32_t field_count;
  uint32_t root_count;
} hak_view_part;

/* Rows, each followed by a comma: of the structure itself, of up to 12 fields of it, of up to 12 that are arrays. */
#define HAK_VIEW_STRUCTURE(structure, type) {structure, "", 0, sizeof(type), 1},
#define HAK_VIEW_FIELDS(structure, type, ...) HAK_VIEW_EACH_(HAK_VIEW_FIELD_, structure, type, __VA_ARGS__)
#define HAK_VIEW_ARRAYS(structure, type, ...) HAK_VIEW_EACH_(HAK_VIEW_ARRAY_, structure, type, __VA_ARGS__)

/* Apart from the constants that the process uses: nothing touches these before somebody looks (libhakmem.lds). */
#define HAK_VIEW_ROWS_ __attribute__((section("hak_view_rows")))

/* `Roots` is a macro that calls its argument with the name and the variable of each root. */
#define HAK_VIEW_PART(part, Rows, Roots)                                                     \
  static const hak_view_field part##_fields[] HAK_VIEW_ROWS_ = {Rows};                       \
  static const hak_view_root part##_roots[] HAK_VIEW_ROWS_ = {Roots(HAK_VIEW_ROOT_)};        \
  static const void* const part##_addresses[] = {Roots(HAK_VIEW_ADDRESS_)};                  \
  const hak_view_part part = {.fields = part##_fields,                                       \
                              .roots = part##_roots,                                         \
                              .addresses = part##_addresses,                                 \
                              .field_count = sizeof part##_fields / sizeof part##_fields[0], \
                              .root_count = sizeof part##_roots / sizeof part##_roots[0]}

/* Private from here on. */
/* clang-format off */
#define HAK_VIEW_ROOT_(name, variable) {name, sizeof(variable)},
#define HAK_VIEW_ADDRESS_(name, variable) &(variable),
#define HAK_VIEW_FIELD_(structure, type, field) {structure, #field, offsetof(type, field), sizeof(((type*)0)->field), 1},
#define HAK_VIEW_ARRAY_(structure, type, field) \
  {structure, #field, offsetof(type, field), sizeof(((type*)0)->field[0]), sizeof(((type*)0)->field) / sizeof(((type*)0)->field[0])},
#define HAK_VIEW_EACH_(row, s, t, ...) HAK_VIEW_PICK_(__VA_ARGS__, HAK_VIEW_12_, HAK_VIEW_11_, HAK_VIEW_10_, HAK_VIEW_9_, HAK_VIEW_8_, \
  HAK_VIEW_7_, HAK_VIEW_6_, HAK_VIEW_5_, HAK_VIEW_4_, HAK_VIEW_3_, HAK_VIEW_2_, HAK_VIEW_1_, 0)(row, s, t, __VA_ARGS__)
#define HAK_VIEW_PICK_(a, b, c, d, e, f, g, h, i, j, k, l, picked, ...) picked
#define HAK_VIEW_1_(row, s, t, f) row(s, t, f)
#define HAK_VIEW_2_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_1_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_3_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_2_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_4_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_3_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_5_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_4_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_6_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_5_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_7_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_6_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_8_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_7_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_9_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_8_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_10_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_9_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_11_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_10_(row, s, t, __VA_ARGS__)
#define HAK_VIEW_12_(row, s, t, f, ...) row(s, t, f) HAK_VIEW_11_(row, s, t, __VA_ARGS__)
/* clang-format on */

#endif /* HAKMEM_BASE_VIEW_PART_H_ */
