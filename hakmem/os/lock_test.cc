#include "hakmem/os/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "hakmem/os/os_sys.h"

#include "gtest/gtest.h"

namespace {

// Threads that have gone to sleep, each once.
std::atomic<uint32_t> sleepers;
thread_local bool has_slept;

}  // namespace

// Replaces the one of os_sys_linux.c.
void hak_os_sys_futex_wait(const uint32_t* word, uint32_t expected) {
  if (!has_slept) sleepers++;
  has_slept = true;
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

namespace {

uint32_t WordOf(const hak_lock& lock) { return hak_u32_load_relaxed(&lock.word); }

TEST(Lock, TryTakeTakesOnce) {
  hak_lock lock = {};
  EXPECT_TRUE(hak_lock_try_take(&lock));
  EXPECT_FALSE(hak_lock_try_take(&lock));
  hak_lock_give(&lock);
  EXPECT_EQ(WordOf(lock), 0u);
  EXPECT_TRUE(hak_lock_try_take(&lock));
  hak_lock_give(&lock);
  EXPECT_EQ(lock.waits, 0u) << "a try waits for nobody";
}

TEST(Lock, ResetFreesWhateverTheState) {
  for (const uint32_t state : {0u, 1u, 2u}) {
    hak_lock lock = {};
    hak_u32_store_relaxed(&lock.word, state);
    hak_lock_reset(&lock);
    EXPECT_TRUE(hak_lock_try_take(&lock));
  }
}

TEST(Lock, ExcludesAndPublishes) {
  hak_lock lock = {};
  uint64_t plain_count = 0; /* guarded by nothing else */
  bool inside = false;
  std::atomic<int> intruders = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10000; i++) {
        if ((i + t) % 5 == 0) {
          while (!hak_lock_try_take(&lock)) std::this_thread::yield();
        } else {
          hak_lock_take(&lock);
        }
        if (inside) intruders++;
        inside = true;
        plain_count++;
        inside = false;
        hak_lock_give(&lock);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(plain_count, 80000u);
  EXPECT_EQ(intruders, 0);
  EXPECT_EQ(WordOf(lock), 0u);
}

TEST(Lock, SleepersWakeOneAfterTheOtherAndKeepErrno) {
  hak_lock lock = {};
  hak_lock_take(&lock);
  std::atomic<int> errors = 0;
  std::atomic<int> done = 0;
  sleepers = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&] {
      errno = 1234;
      hak_lock_take(&lock);
      if (errno != 1234) errors++;
      hak_lock_give(&lock);
      if (errno != 1234) errors++;
      done++;
    });
  }
  /* A thread that comes only now would find the lock free. */
  while (sleepers != 4) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(done, 0);
  EXPECT_EQ(WordOf(lock), 2u);
  hak_lock_give(&lock);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 4);
  EXPECT_EQ(errors, 0);
  EXPECT_EQ(lock.waits, 4u);
  EXPECT_EQ(lock.sleeps, 4u);
  EXPECT_EQ(WordOf(lock), 0u);
}

TEST(Lock, WhoHoldsAllPassesThrough) {
  hak_lock lock = {};
  hak_lock_take(&lock);
  hak_lock_set_holds_all(true);
  EXPECT_TRUE(hak_lock_try_take(&lock));
  hak_lock_take(&lock);
  hak_lock_give(&lock);
  hak_lock_give(&lock);
  EXPECT_EQ(WordOf(lock), 1u) << "a give inside gave the outer take back";
  std::thread([&] { EXPECT_FALSE(hak_lock_try_take(&lock)) << "another thread passed through"; }).join();
  hak_lock_set_holds_all(false);
  hak_lock_give(&lock);
  EXPECT_EQ(WordOf(lock), 0u);
}

int watched = 0;
hak_lock* watched_lock = nullptr;
uint32_t watched_depth = 0;

TEST(Lock, AWatchIsCalledBeforeEachTake) {
  hak_lock lock = {};
  watched_lock = &lock;
  watched_depth = hak_lock_depth;
  hak_lock_set_watch([] {
    watched++;
    EXPECT_EQ(WordOf(*watched_lock), 0u) << "before";
    EXPECT_EQ(hak_lock_depth, watched_depth);
  });
  hak_lock_take(&lock);
  hak_lock_give(&lock);
  EXPECT_TRUE(hak_lock_try_take(&lock));
  hak_lock_give(&lock);
  EXPECT_EQ(watched, 2);
  hak_lock_set_watch(nullptr);
  hak_lock_take(&lock);
  hak_lock_give(&lock);
  EXPECT_EQ(watched, 2);
}

}  // namespace
