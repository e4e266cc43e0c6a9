/* A program for the doctor. What is wrong with it, a definition of the build says:
 *   PATIENT_OWN_MALLOC       it defines malloc
 *   PATIENT_HIDDEN_MALLOC    it has one inside, for itself only
 *   PATIENT_PREFIXED_MALLOC  it has another allocator inside, under names of its own
 *   PATIENT_DEEP_BINDING     it opens libraries with RTLD_DEEPBIND, or would
 * `patient wait` says when it is ready and waits until its input ends; `patient lock` locks its memory before. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined PATIENT_OWN_MALLOC || defined PATIENT_HIDDEN_MALLOC || defined PATIENT_PREFIXED_MALLOC
static char room[1 << 20];
static size_t used;

#ifdef PATIENT_PREFIXED_MALLOC
#define malloc je_malloc
#define free je_free
#endif

#ifdef PATIENT_HIDDEN_MALLOC
#define SEEN __attribute__((noinline, used, visibility("hidden")))
#else
#define SEEN __attribute__((noinline, used, visibility("default")))
#endif

SEEN void* malloc(size_t bytes);
SEEN void free(void* block);

void* malloc(size_t bytes) {
  void* block = room + used;
  used += (bytes + 15) & ~(size_t)15;
  return used <= sizeof room ? block : NULL;
}

void free(void* block) { (void)block; }
#endif

#ifdef PATIENT_DEEP_BINDING
void* patient_open(const char* name);

void* patient_open(const char* name) { return dlopen(name, RTLD_NOW | RTLD_DEEPBIND); }
#endif

int main(int argc, char** argv) {
  char* block = malloc(100);
  if (block == NULL) return 1;
  *(volatile char*)block = 1;
  if (argc > 1 && strcmp(argv[1], "lock") == 0 && mlockall(MCL_CURRENT) != 0) return 2;
#ifdef PATIENT_DEEP_BINDING
  if (argc > 2 && patient_open(argv[2]) == NULL) return 3;
#endif
  if (argc > 1) {
    char byte;
    if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 4;
    while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  }
  free(block);
  return 0;
}
