#include "hakmem/remote_free/remote_free.c"

#include "hakmem/testing/schedules/doors.h"

void door_notify_owner(hak_slab* slab) { (void)notify_owner(slab); }
