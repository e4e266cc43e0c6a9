#include "hakmem/shared_pool/span_berth.c"

#include "hakmem/testing/schedules/doors.h"

void door_settle_spans(void) { hak_span_berths_settle(); }
