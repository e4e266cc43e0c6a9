/* Options that the program is built with, and that it sets while it runs.
 *   NAME          prints its value
 *   NAME VALUE    sets it, and prints what hak_option_set returned and the value afterwards */
#include <errno.h>
#include <stdio.h>

#include "hakmem/testing/harness/expect.h"
#include <hakmem/hakmem.h>

/* Where HAKMEM is preloaded, it is not there when the program is linked. */
#pragma weak hak_option_set
#pragma weak hak_option_get

const char* hak_conf = "decay_ms:321,surplus_bytes:1m,verbose:0";

static void print_value(const char* name) {
  char value[256];
  errno = 0;
  const int error = hak_option_get(name, value, sizeof value);
  EXPECT(errno == 0);
  if (error == 0) {
    printf("%s\n", value);
  } else {
    printf("get %d\n", error);
  }
}

int main(int argc, char** argv) {
  EXPECT(argc >= 2);
  EXPECT(hak_option_get(NULL, NULL, 0) == EINVAL && hak_option_set(NULL, "") == EINVAL);
  EXPECT(hak_option_set(argv[1], NULL) == EINVAL);
  if (argc > 2) {
    errno = 0;
    printf("set %d\n", hak_option_set(argv[1], argv[2]));
    EXPECT(errno == 0);
  }
  print_value(argv[1]);
  return 0;
}
