#include "hakmem/surplus/surplus.c"
