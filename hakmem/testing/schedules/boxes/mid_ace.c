#include "hakmem/mid_ace/mid_ace.c"
