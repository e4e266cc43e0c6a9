/* A fork by one thread while another registers the fork handlers: none of them runs in it. */
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "hakmem/lifecycle/lifecycle.h"

#include "gtest/gtest.h"

namespace {

enum { kHangSeconds = 20 };

int child_status = -1; /* of the child that is forked amid the registration */

void ForkInAnotherThread() {
  std::thread([] {
    const pid_t child = fork();
    if (child == 0) {
      alarm(kHangSeconds);
      hak_lifecycle_guard_forks(); /* as its next thread will, with the first lock that it takes */
      _exit(hak_lifecycle_forks_are_guarded() ? 0 : 1);
    }
    waitpid(child, &child_status, 0);
  }).join();
}

bool forks_at_registration = false;

}  // namespace

extern "C" {
// In place of the weak one, as the preloaded library has it.
bool hak_lifecycle_sees_registrations(void) { return true; }
extern char __libc_single_threaded __attribute__((weak));

// What glibc's pthread_atfork calls.
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void* library);
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void* library) {
  if (forks_at_registration) {
    forks_at_registration = false;
    ForkInAnotherThread();
  }
  using Register = int (*)(void (*)(void), void (*)(void), void (*)(void), void*);
  return reinterpret_cast<Register>(dlsym(RTLD_NEXT, "__register_atfork"))(prepare, parent, child, library);
}
}

namespace {

// In a process of its own: the handlers stay.
TEST(LifecycleGuard, AChildForkedAmidTheRegistrationRegistersByItself) {
  if (&__libc_single_threaded == nullptr || hak_lifecycle_forks_are_guarded()) GTEST_SKIP() << "no registration to see";
  forks_at_registration = true;
  hak_lifecycle_guard_forks();
  if (forks_at_registration) GTEST_SKIP() << "pthread_atfork is another libc's";
  EXPECT_TRUE(hak_lifecycle_forks_are_guarded());
  ASSERT_TRUE(WIFEXITED(child_status)) << "signal " << WTERMSIG(child_status);
  EXPECT_EQ(WEXITSTATUS(child_status), 0);
}

}  // namespace
