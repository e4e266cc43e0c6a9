#include "hakmem/base/control.h"

hak_control hak_control_words HAK_START_DATA;
