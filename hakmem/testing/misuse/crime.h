/* Shared by the programs here, one a crime. They are plain C and run on whatever malloc they are started with. What a
 * program prints tells how far it came, the test reads the rest off its end:
 *   victim 0x...      the pointer that the crime is about
 *   went on           the crime was committed, nothing stopped it
 *   disjoint|aliased  whether blocks allocated afterwards overlap
 *   ended             those were freed again, and free memory was given back */
#ifndef HAKMEM_TESTING_MISUSE_CRIME_H_
#define HAKMEM_TESTING_MISUSE_CRIME_H_

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/harness/malloc_names.h"

/* Of small blocks so many that an allocator comes to the end of every list it has of free ones. */
enum { CRIME_PROBES_SMALL = 2048, CRIME_PROBES_MEDIUM = 64, CRIME_PROBES_LARGE = 4 };

/** Announces the pointer that the crime is about. */
static inline void* crime_name_victim(void* ptr) {
  char line[64];
  snprintf(line, sizeof line, "victim 0x%llx", (unsigned long long)(uintptr_t)ptr);
  say(line);
  return launder(ptr);
}

/** A block to commit the crime on. */
static inline char* crime_victim(size_t size) {
  char* block = (char*)malloc(size);
  EXPECT(block != NULL);
  memset(block, 0x5a, size);
  return (char*)crime_name_victim(block);
}

/** malloc(size), out of the compiler's sight. */
static inline char* crime_other(size_t size) {
  char* block = (char*)malloc(size);
  EXPECT(block != NULL);
  return (char*)launder(block);
}

static inline void* crime_thread_free(void* ptr) {
  free(ptr);
  return NULL;
}

/** free(ptr) by another thread. */
static inline void crime_free_in_thread(void* ptr) {
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, crime_thread_free, ptr) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
}

/* Byte k of the pattern of block i: the index, so that no two blocks of two bytes or more have the same. */
static inline char crime_pattern(size_t i, size_t k) { return (char)((i + 1) >> (k % 2 * 8)); }

/* Fills every block with a pattern of its own, then looks whether all of them kept theirs. */
static inline bool crime_are_disjoint(char* const* blocks, size_t count, size_t size) {
  const size_t step = size > 4096 ? 16 : 1;
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; k < size; k += step) blocks[i][k] = crime_pattern(i, k);
  }
  bool disjoint = true;
  for (size_t i = 0; i < count && disjoint; i++) {
    for (size_t k = 0; k < size && disjoint; k += step) disjoint = blocks[i][k] == crime_pattern(i, k);
  }
  return disjoint;
}

static inline size_t crime_probes(size_t size) {
  if (size > 65536) return CRIME_PROBES_LARGE;
  return size > 1024 || size < 16 ? CRIME_PROBES_MEDIUM : CRIME_PROBES_SMALL;
}

/** The rest of the program's life after the crime: uses blocks of `size` bytes, the victim's class. */
static inline int crime_finish(size_t size) {
  say("went on");
  const size_t count = crime_probes(size);
  static char* probes[CRIME_PROBES_SMALL];
  for (size_t i = 0; i < count; i++) probes[i] = crime_other(size);
  say(crime_are_disjoint(probes, count, size) ? "disjoint" : "aliased");
  for (size_t i = 0; i < count; i++) free(probes[i]);
  malloc_trim(0);
  say("ended");
  return 0;
}

#endif /* HAKMEM_TESTING_MISUSE_CRIME_H_ */
