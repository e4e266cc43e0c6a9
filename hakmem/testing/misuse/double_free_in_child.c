/* Frees a block, forks, and frees it again in the child. */
#include <signal.h>
#include <sys/wait.h>

#include "hakmem/testing/misuse/crime.h"

int main(void) {
  char* victim = crime_victim(64);
  free(victim);
  const pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    free(victim);
    return crime_finish(64);
  }
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) EXPECT(signal(WTERMSIG(status), SIG_DFL) != SIG_ERR && raise(WTERMSIG(status)) == 0);
  return WEXITSTATUS(status);
}
