#include "hakmem/slab/slab.c"
