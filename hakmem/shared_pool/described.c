/* For gdb: its debug information describes the SuperSlab, which no other box knows. */
#include "hakmem/shared_pool/superslab_inl.h"

extern const hak_superslab* hak_superslab_described(const hak_slab* slab);

const hak_superslab* hak_superslab_described(const hak_slab* slab) { return slab->superslab; }
