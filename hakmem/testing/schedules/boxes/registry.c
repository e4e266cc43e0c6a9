#include "hakmem/registry/registry.c"

#include "hakmem/testing/schedules/doors.h"

uint64_t door_registry_word(const void* ptr) { return hak_registry_word(ptr); }

void* door_registry_owner(const void* ptr) { return hak_registry_owner(ptr); }
