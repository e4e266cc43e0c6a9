#include "hakmem/shared_pool/give_back.c"

#include "hakmem/testing/schedules/doors.h"

void door_purge(uint32_t id) {
  bool refused = false;
  purge_superslab(hak_superslab_by_id(id), &refused);
}
