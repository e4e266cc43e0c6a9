#include "hakmem/shared_pool/empty_cache.c"
