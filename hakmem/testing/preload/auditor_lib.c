/* For LD_AUDIT: code that the dynamic linker calls about every object, in a world with a libc of its own. It allocates
 * before the program's libraries are loaded, and while they are. */
#include <link.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

__attribute__((visibility("default"))) unsigned int la_version(unsigned int version);
__attribute__((visibility("default"))) unsigned int la_objopen(struct link_map* map, Lmid_t lmid, uintptr_t* cookie);

unsigned int la_version(unsigned int version) {
  free(launder(malloc(1000)));
  return version;
}

unsigned int la_objopen(struct link_map* map, Lmid_t lmid, uintptr_t* cookie) {
  (void)lmid;
  (void)cookie;
  char* name = strdup(map->l_name);
  EXPECT(name != NULL);
  free(launder(name));
  return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}
