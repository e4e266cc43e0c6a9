#include "hakmem/size_class/size_class.c"
