#include "hakmem/idle/idle.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "hakmem/config/config.h"
#include "hakmem/config/test_config.h"
#include "hakmem/lifecycle/lifecycle.h"
#include "hakmem/lifecycle/test_lifecycle.h"
#include "hakmem/limits/limits.h"
#include "hakmem/os/lock.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/purge/purge.h"
#include "hakmem/shared_pool/shared_pool.h"

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kDecayMs = 500;
constexpr uint64_t kForEver = HAK_IDLE_FOR_EVER;
constexpr size_t kBytes = 1024;

volatile sig_atomic_t handled;

void OnSignal(int number) {
  (void)number;
  handled = handled + 1;
}

uint64_t Dirty() { return hak_shared_pool_read_figures().dirty_free_units; }

// Each test begins an hour after the last, with nothing free.
class Idle : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    ResetConfig();
    static uint64_t start_ms = 3600 * 1000;
    start_ms += 3600 * 1000;
    hak_os_fake_set_clock_ms(start_ms);
    hak_purge_tick();
    handled = 0;
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    sigaction(SIGUSR1, &action, nullptr);
  }
  void TearDown() override {
    signal(SIGUSR1, SIG_DFL);
    hak_os_fake_set_observer(nullptr);
    Rest();
    hak_purge_all();
    hak_config_reset_for_test();
    hak_os_fake_reset();
  }

  static hak_bin* Bin() { return hak_heap_bin(hak_heap_current, hak_size_class_of(kBytes)); }
  static uint32_t Held() { return hak_bin_held(Bin()); }

  // Leaves blocks in the thread's cache and dirty units in the pool.
  static void FreeMuch() {
    std::vector<void*> blocks;
    for (int i = 0; i < 400; i++) blocks.push_back(Alloc(kBytes));
    for (void* block : blocks) Free(block);
    ASSERT_GT(Held(), 0u);
    ASSERT_GT(Dirty(), 0u);
  }

  // One of some waits looks at the clock.
  static void WaitShortly() {
    for (int i = 0; i < 8; i++) EXPECT_EQ(hak_idle_begin(100).slice_ms, 0u);
  }

  static hak_idle_wait Rest() {
    hak_idle_wait wait = {kDecayMs, 0, false};
    hak_idle_rest(&wait);
    return wait;
  }
};

TEST_F(Idle, AThreadWithNothingToGiveBackWaitsAtOnce) {
  Rest(); /* of what the test before has left */
  hak_purge_all();
  ASSERT_FALSE(hak_purge_has_work());
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 0u);
  std::thread([] { EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 0u); }).join();
}

TEST_F(Idle, WaitsAreSlicedWhereTheyAreLongerThanTheDecayTime) {
  FreeMuch();
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, kDecayMs);
  EXPECT_EQ(hak_idle_begin(kDecayMs + 1).slice_ms, kDecayMs);
  EXPECT_EQ(hak_idle_begin(kDecayMs).slice_ms, 0u);
  EXPECT_EQ(hak_idle_begin(0).slice_ms, 0u) << "no wait at all";
  hak_config_set_for_test(HAK_OPTION_DECAY_MS, 2000);
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 2000u);
  hak_config_set_for_test(HAK_OPTION_DECAY_MS, 0);
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 10u) << "no busy loop";
  hak_config_set_for_test(HAK_OPTION_PURGE_IN_WAITS, 0);
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 0u);
}

TEST_F(Idle, TwoRestsAtMostGiveEverythingBack) {
  FreeMuch();
  hak_idle_wait wait = hak_idle_begin(kForEver);
  hak_os_fake_advance_clock_ms(kDecayMs);
  errno = 1234;
  hak_idle_rest(&wait);
  EXPECT_EQ(errno, 1234);
  EXPECT_FALSE(wait.is_interrupted);
  EXPECT_EQ(Held(), 0u);
  if (wait.slice_ms != 0) { /* what was cached may be free since just now */
    hak_os_fake_advance_clock_ms(kDecayMs);
    hak_idle_rest(&wait);
  }
  EXPECT_EQ(Dirty(), 0u);
  EXPECT_EQ(wait.slice_ms, 0u);
}

TEST_F(Idle, RestsComeToAnEndThoughOthersGoOn) {
  hak_config_set_for_test(HAK_OPTION_DECAY_MS, 3600 * 1000); /* there is always something left */
  FreeMuch();
  hak_idle_wait wait = hak_idle_begin(kForEver);
  int rests = 0;
  for (; wait.slice_ms != 0; rests++) hak_idle_rest(&wait);
  EXPECT_EQ(rests, 3);
}

TEST_F(Idle, ShortWaitsEmptyTheCachesAfterTheDecayTime) {
  FreeMuch();
  WaitShortly();
  for (int i = 0; i < 5; i++) {
    WaitShortly();
    EXPECT_GT(Held(), 0u) << i;
    hak_os_fake_advance_clock_ms(100);
  }
  WaitShortly();
  EXPECT_EQ(Held(), 0u);
}

TEST_F(Idle, WorkBetweenShortWaitsPutsThatOff) {
  FreeMuch();
  for (int i = 0; i < 20; i++) {
    WaitShortly();
    EXPECT_GT(Held(), 0u) << i;
    Free(Alloc(kBytes));
    hak_os_fake_advance_clock_ms(100);
  }
}

TEST_F(Idle, ShortWaitsPurge) {
  FreeMuch();
  Rest();
  for (int i = 0; i < 8; i++) {
    hak_os_fake_advance_clock_ms(100);
    errno = 1234;
    WaitShortly();
    EXPECT_EQ(errno, 1234);
  }
  EXPECT_EQ(Dirty(), 0u);
}

// It may have interrupted a hit, which goes on afterwards with what it has read.
TEST_F(Idle, AHandlerLeavesTheCachesAlone) {
  FreeMuch();
  const uint32_t held = Held();
  struct sigaction action = {};
  action.sa_handler = [](int) {
    hak_idle_wait wait = hak_idle_begin(kForEver);
    EXPECT_EQ(wait.slice_ms, kDecayMs);
    hak_idle_rest(&wait);
    hak_os_fake_advance_clock_ms(kDecayMs);
    WaitShortly();
  };
  static char memory[1 << 16];
  stack_t stack = {}, before; /* sanitizers have one */
  sigaltstack(nullptr, &before);
  stack.ss_sp = memory;
  stack.ss_size = sizeof memory;
  for (const int flags : {0, SA_NODEFER, SA_ONSTACK, SA_ONSTACK | SA_NODEFER}) {
    SCOPED_TRACE(flags);
    stack.ss_flags = (flags & SA_ONSTACK) == 0 ? SS_DISABLE : 0;
    sigaltstack(&stack, nullptr);
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, nullptr);
    raise(SIGUSR1);
    EXPECT_EQ(Held(), held);
  }
  Rest();
  EXPECT_EQ(Held(), 0u) << "no handler";
  sigaltstack(&before, nullptr);
}

TEST_F(Idle, NothingIsDoneInASandbox) {
  FreeMuch();
  const uint32_t held = Held();
  hak_limits_close();
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 0u);
  Rest();
  WaitShortly();
  EXPECT_EQ(Held(), held);
  hak_limits_reset_for_test();
}

// Another thread of its parent may have held a lock. In this one it is the test that does.
TEST_F(Idle, NothingIsDoneInAChildWithoutForkHandlers) {
  FreeMuch();
  hak_lifecycle_guard_forks();
  hak_lock_take(hak_shared_pool_lock());
  const pid_t child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (child == 0) {
    alarm(20);
    hak_lock_depth = 0; /* it was somebody else */
    const uint32_t held = Held();
    Rest();
    WaitShortly();
    _exit(Held() == held ? 0 : 1);
  }
  hak_lock_give(hak_shared_pool_lock());
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(Idle, AChildGivesBackAsItsParent) {
  FreeMuch();
  hak_lifecycle_guard_forks();
  const pid_t child = fork();
  if (child == 0) {
    Rest();
    _exit(Held() == 0 ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(Idle, NothingIsDoneAmidTheAllocator) {
  FreeMuch();
  const uint32_t held = Held();
  hak_heap* heap = hak_heap_current;
  hak_heap_enter(heap);
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 0u);
  Rest();
  hak_heap_leave(heap);
  hak_lock_take(hak_shared_pool_lock());
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 0u);
  Rest();
  hak_lock_give(hak_shared_pool_lock());
  hak_lock_set_holds_all(true);
  EXPECT_EQ(hak_idle_begin(kForEver).slice_ms, 0u);
  Rest();
  hak_lock_set_holds_all(false);
  EXPECT_EQ(Held(), held);
}

int signal_to_raise;
int handled_amid;

// Raises it as memory goes back, amid the rest.
hak_idle_wait RestWithSignal(int number) {
  signal_to_raise = number;
  hak_os_fake_set_observer([](hak_os_fake_call call, void*, size_t) {
    if (call != HAK_OS_FAKE_MADVISE || signal_to_raise == 0) return;
    raise(signal_to_raise);
    signal_to_raise = 0;
    handled_amid = handled;
  });
  hak_os_fake_advance_clock_ms(2 * kDecayMs);
  hak_idle_wait wait = {kDecayMs, 0, false};
  hak_idle_rest(&wait);
  EXPECT_EQ(signal_to_raise, 0) << "nothing went back";
  return wait;
}

TEST_F(Idle, ASignalAmidARestEndsTheWait) {
  FreeMuch();
  Rest();
  EXPECT_TRUE(RestWithSignal(SIGUSR1).is_interrupted);
  EXPECT_EQ(handled_amid, 0) << "it has to wait";
  EXPECT_EQ(handled, 1);
}

TEST_F(Idle, ASignalThatDoesNothingDoesNot) {
  signal(SIGUSR1, SIG_IGN);
  for (const int number : {SIGUSR1, SIGCHLD}) {
    FreeMuch();
    Rest();
    EXPECT_FALSE(RestWithSignal(number).is_interrupted) << number;
  }
  EXPECT_EQ(handled, 0);
}

TEST_F(Idle, TheMaskStaysAsItWas) {
  sigset_t before, after;
  sigemptyset(&before);
  sigaddset(&before, SIGUSR2); /* has no handler: what blocks it is no handler's doing */
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  FreeMuch();
  Rest();
  EXPECT_EQ(Held(), 0u);
  sigemptyset(&before);
  pthread_sigmask(SIG_SETMASK, &before, &after);
  EXPECT_TRUE(sigismember(&after, SIGUSR2));
  EXPECT_FALSE(sigismember(&after, SIGUSR1));
}

}  // namespace
