/* The smallest program that allocates: printf's buffer. */
#include <stdio.h>

int main(void) {
  printf("ok\n");
  return 0;
}
