#include "hakmem/config/config.c"

#include "hakmem/config/sources.c"

/* Process start and a thread that asks for an option: the two that may meet. */
#include "hakmem/testing/schedules/doors.h"

void door_config_load(void) {
  static char decay[] = "HAKMEM_DECAY_MS=123";
  static char file[] = "HAKMEM_STATS_FILE=abc";
  char* environment[] = {decay, file, NULL};
  hak_config_load_as(environment, false);
}

uint32_t door_config_stats_file(void) {
  const char* text = hak_config_text(HAK_OPTION_STATS_FILE);
  uint32_t length = 0;
  while (length < 3 && text[length] == "abc"[length]) length++;
  return length;
}

uint64_t door_config_decay_ms(void) { return hak_config_get(HAK_OPTION_DECAY_MS); }
