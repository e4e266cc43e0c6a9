#include "hakmem/base/print.c"
