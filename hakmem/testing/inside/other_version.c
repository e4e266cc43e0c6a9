/* A process with the view of another version of HAKMEM: all that readers may rely on is its beginning. */
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/view/view.h"

const hak_view_header hak_view = {.magic = HAK_VIEW_MAGIC,
                                  .self = &hak_view,
                                  .header_bytes = sizeof hak_view,
                                  .abi = HAK_VIEW_ABI + 1,
                                  .version = "9.8.7"};

int main(void) {
  hak_view_keep();
  say("start");
  char c;
  while (read(STDIN_FILENO, &c, 1) == 1) {
  }
  return 0;
}
