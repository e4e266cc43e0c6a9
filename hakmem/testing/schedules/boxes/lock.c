#include "hakmem/os/lock.c"

#include "hakmem/testing/schedules/doors.h"

static hak_lock lock;
static uint64_t guarded;

void door_lock_add(void) {
  hak_lock_take(&lock);
  guarded++;
  hak_lock_give(&lock);
}

void door_lock_try_add(void) {
  if (!hak_lock_try_take(&lock)) return;
  guarded++;
  hak_lock_give(&lock);
}

uint64_t door_lock_guarded(void) { return guarded; }
