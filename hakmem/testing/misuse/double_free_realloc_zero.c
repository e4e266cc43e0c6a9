/* Frees a block twice by resizing it to nothing. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  void* first = launder(realloc(victim, 0));
  void* second = launder(realloc(victim, 0));
  (void)first;
  (void)second;
  return crime_finish(64);
}
