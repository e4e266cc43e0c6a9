/* Two other threads free a block, one after the other. */
#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  crime_free_in_thread(victim);
  crime_free_in_thread(victim);
  return crime_finish(64);
}
