#include "hakmem/shared_pool/figures.c"
