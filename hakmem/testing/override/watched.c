/* Linked with HAKMEM: says what a set-user-ID program must be without, and crashes where it is told to. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"

#ifdef HAKMEM_TEST_CONF
const char* hak_conf =
    "crash_reports:1,background_thread:1,metrics:metrics,stats_at_exit:1,stats_file:stats,profile:1,profile_bytes:1,"
    "profile_file:profile";
#endif

static int count_threads(void) {
  int count = 0;
  DIR* tasks = opendir("/proc/self/task");
  EXPECT(tasks != NULL);
  for (const struct dirent* entry = readdir(tasks); entry != NULL; entry = readdir(tasks))
    count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

int main(int argc, char** argv) {
  (void)argv;
  for (int i = 0; i < 1000; i++) free(launder(malloc(100)));
  usleep(300000); /* a thread that has been started shows by now */
  struct sigaction handler;
  EXPECT(sigaction(SIGSEGV, NULL, &handler) == 0);
  printf("threads %d, handler %s\n", count_threads(), handler.sa_handler == SIG_DFL ? "none" : "set");
  fflush(stdout);
  if (argc > 1) *(volatile char*)launder((void*)16) = 1;
  return 0;
}
