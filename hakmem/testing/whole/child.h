/* Runs part of a test in a child process, and says so when it hangs. */
#ifndef HAKMEM_TESTING_WHOLE_CHILD_H_
#define HAKMEM_TESTING_WHOLE_CHILD_H_

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace hak_testing {

enum { kHungStatus = 86, kSecondsUntilHung = 60 };

inline void OnAlarm(int) {
  static const char kLine[] = "child.h: HANG: a child process, or the fork that makes it, takes more than a minute\n";
  const ssize_t written = write(STDERR_FILENO, kLine, sizeof kLine - 1);
  static_cast<void>(written);
  _exit(kHungStatus);
}

inline void StartWatchdog() {
  signal(SIGALRM, OnAlarm);
  alarm(kSecondsUntilHung);
}

inline void StopWatchdog() { alarm(0); }

/* Forks and runs `body` in the child, which then ends. True when it met no failed expectation. Alarms do not pass to a
 * child: each watches for itself, and this process for a child that hangs before it comes to that. */
template <typename Body>
bool SucceedsInChild(const Body& body) {
  StartWatchdog();
  const pid_t child = fork();
  if (child == 0) {
    StartWatchdog();
    body();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  EXPECT_GT(child, 0);
  EXPECT_EQ(waitpid(child, &status, 0), child);
  StopWatchdog();
  EXPECT_FALSE(WIFSIGNALED(status)) << "the child ended by signal " << WTERMSIG(status);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "the child's status is " << WEXITSTATUS(status);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace hak_testing

#endif /* HAKMEM_TESTING_WHOLE_CHILD_H_ */
