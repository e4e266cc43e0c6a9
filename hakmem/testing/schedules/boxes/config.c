#include "hakmem/config/config.c"

/* Process start and a thread that asks for an option: the two that may meet. */
#include "hakmem/testing/schedules/doors.h"

void door_config_load(void) {
  static char decay[] = "HAKMEM_DECAY_MS=123";
  char* environment[] = {decay, NULL};
  hak_config_load(environment);
}

uint64_t door_config_decay_ms(void) { return hak_config_get(HAK_OPTION_DECAY_MS); }
