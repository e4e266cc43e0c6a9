/* Frees a block of another malloc: that of a second libc, which dlmopen() loads into a namespace of its own. */
#include <dlfcn.h>
#include <gnu/lib-names.h>

#include "hakmem/testing/misuse/crime.h"

typedef void* malloc_function(size_t size);

int main(void) {
  void* libc = dlmopen(LM_ID_NEWLM, LIBC_SO, RTLD_NOW);
  EXPECT(libc != NULL);
  malloc_function* other_malloc = NULL;
  *(void**)&other_malloc = dlsym(libc, "malloc");
  EXPECT(other_malloc != NULL && other_malloc != malloc);
  free(crime_name_victim(other_malloc(64)));
  return crime_finish(64);
}
