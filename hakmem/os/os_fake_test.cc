#include "hakmem/os/os_fake.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "hakmem/os/os_sys.h"

#include "gtest/gtest.h"

namespace {

constexpr size_t kPage = 65536; /* a multiple of every page size */

class OsFake : public testing::Test {
 protected:
  void SetUp() override { hak_os_fake_reset(); }
  void TearDown() override {
    hak_os_fake_reset();
    EXPECT_EQ(hak_os_fake_mapped_bytes(), 0u);
    EXPECT_EQ(hak_os_fake_mapped_ranges(), 0u);
  }

  static char* Map(size_t bytes) {
    void* base = hak_os_sys_mmap(nullptr, bytes, PROT_READ | PROT_WRITE, 0);
    return base == MAP_FAILED ? nullptr : static_cast<char*>(base);
  }
};

using OsFakeDeathTest = OsFake;

TEST_F(OsFake, PassesCallsOn) {
  char* base = Map(4 * kPage);
  ASSERT_NE(base, nullptr);
  memset(base, 1, 4 * kPage);
  EXPECT_EQ(hak_os_sys_madvise(base, kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(base[0], 0);
  EXPECT_EQ(base[kPage], 1);
  EXPECT_EQ(hak_os_sys_mprotect(base, kPage, PROT_NONE), 0);
  EXPECT_EQ(hak_os_fake_mapped_bytes(), 4 * kPage);
  EXPECT_EQ(hak_os_sys_munmap(base, 4 * kPage), 0);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MMAP), 1u);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MADVISE), 1u);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MPROTECT), 1u);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MUNMAP), 1u);
  EXPECT_EQ(hak_os_fake_failures(HAK_OS_FAKE_MMAP), 0u);
}

std::vector<int> FailedOf(int calls) {
  std::vector<int> failed;
  for (int i = 1; i <= calls; i++) {
    errno = 0;
    void* base = hak_os_sys_mmap(nullptr, kPage, PROT_READ, 0);
    if (base == MAP_FAILED) {
      EXPECT_EQ(errno, ENFILE);
      failed.push_back(i);
    } else {
      hak_os_sys_munmap(base, kPage);
    }
  }
  return failed;
}

TEST_F(OsFake, ScriptsFailTheCallsTheyName) {
  using Calls = std::vector<int>;
  EXPECT_EQ(FailedOf(3), Calls({}));
  hak_os_fake_fail_nth(HAK_OS_FAKE_MMAP, 3, ENFILE);
  EXPECT_EQ(FailedOf(6), Calls({3}));
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 3, ENFILE);
  EXPECT_EQ(FailedOf(6), Calls({3, 4, 5, 6}));
  hak_os_fake_fail_every(HAK_OS_FAKE_MMAP, 2, ENFILE);
  EXPECT_EQ(FailedOf(6), Calls({2, 4, 6}));
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  EXPECT_EQ(FailedOf(3), Calls({}));
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MMAP), 24u);
  EXPECT_EQ(hak_os_fake_failures(HAK_OS_FAKE_MMAP), 8u);
}

TEST_F(OsFake, EveryKindCanFailAndThenChangesNothing) {
  char* base = Map(4 * kPage);
  memset(base, 1, 4 * kPage);
  for (int call = HAK_OS_FAKE_MUNMAP; call < HAK_OS_FAKE_CALL_COUNT; call++) {
    hak_os_fake_fail_nth(static_cast<hak_os_fake_call>(call), 1, EPERM);
  }
  errno = 0;
  EXPECT_EQ(hak_os_sys_munmap(base, kPage), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(hak_os_sys_mprotect(base, kPage, PROT_NONE), -1);
  EXPECT_EQ(hak_os_sys_madvise(base, kPage, MADV_DONTNEED), -1);
  EXPECT_EQ(hak_os_sys_mremap(base, kPage, 2 * kPage, MREMAP_MAYMOVE, nullptr), MAP_FAILED);
  for (size_t i = 0; i < 4 * kPage; i++) ASSERT_EQ(base[i], 1);
  EXPECT_EQ(hak_os_fake_mapped_bytes(), 4 * kPage);
  EXPECT_EQ(hak_os_sys_munmap(base, 4 * kPage), 0);
}

TEST_F(OsFake, RecordSplitsAndJoins) {
  char* base = Map(8 * kPage);
  EXPECT_EQ(hak_os_fake_mapped_ranges(), 1u);
  EXPECT_EQ(hak_os_sys_munmap(base + 2 * kPage, kPage), 0);
  EXPECT_EQ(hak_os_sys_munmap(base + 5 * kPage, kPage), 0);
  EXPECT_EQ(hak_os_fake_mapped_ranges(), 3u);
  EXPECT_EQ(hak_os_fake_mapped_bytes(), 6 * kPage);
  EXPECT_TRUE(hak_os_fake_is_mapped(base, 2 * kPage));
  EXPECT_FALSE(hak_os_fake_is_mapped(base, 3 * kPage));
  EXPECT_FALSE(hak_os_fake_is_mapped(base + 2 * kPage, kPage));
  EXPECT_TRUE(hak_os_fake_is_mapped(base + 3 * kPage, 2 * kPage));
  EXPECT_EQ(hak_os_sys_munmap(base, 2 * kPage), 0);
  EXPECT_EQ(hak_os_sys_munmap(base + 3 * kPage, 2 * kPage), 0);
  EXPECT_EQ(hak_os_sys_munmap(base + 6 * kPage, 2 * kPage), 0);
}

TEST_F(OsFake, RecordFollowsMoves) {
  char* from = Map(2 * kPage);
  char* target = Map(4 * kPage);
  from[0] = 7;
  hak_os_fake_fail_nth(HAK_OS_FAKE_MREMAP, 1, EPERM);
  EXPECT_EQ(hak_os_sys_mremap(from, 2 * kPage, 4 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target), MAP_FAILED);
  EXPECT_TRUE(hak_os_fake_is_mapped(target, 4 * kPage)) << "refused at the door";
  EXPECT_EQ(hak_os_sys_mremap(from, 2 * kPage, 4 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target), target);
  EXPECT_EQ(target[0], 7);
  EXPECT_FALSE(hak_os_fake_is_mapped(from, kPage));
  EXPECT_TRUE(hak_os_fake_is_mapped(target, 4 * kPage));
  EXPECT_EQ(hak_os_fake_mapped_bytes(), 4 * kPage);
  EXPECT_EQ(hak_os_sys_munmap(target, 4 * kPage), 0);
}

TEST_F(OsFake, FailedMoveLosesItsTarget) {
  char* from = Map(2 * kPage);
  char* target = Map(4 * kPage);
  from[0] = 7;
  hak_os_fake_fail_nth(HAK_OS_FAKE_MREMAP, 1, ENOMEM);
  EXPECT_EQ(hak_os_sys_mremap(from, 2 * kPage, 4 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target), MAP_FAILED);
  EXPECT_FALSE(hak_os_fake_is_mapped(target, kPage));
  EXPECT_EQ(from[0], 7);
  EXPECT_EQ(hak_os_fake_mapped_bytes(), 2 * kPage);
  EXPECT_EQ(hak_os_sys_munmap(from, 2 * kPage), 0);
}

TEST_F(OsFake, LimitIsOnWhatIsMapped) {
  hak_os_fake_set_limit_bytes(4 * kPage);
  char* first = Map(3 * kPage);
  ASSERT_NE(first, nullptr);
  errno = 0;
  EXPECT_EQ(Map(2 * kPage), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(hak_os_sys_mremap(first, 3 * kPage, 5 * kPage, MREMAP_MAYMOVE, nullptr), MAP_FAILED);
  char* second = Map(kPage);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(Map(kPage), nullptr);
  EXPECT_EQ(hak_os_sys_munmap(second, kPage), 0);
  second = Map(kPage);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(hak_os_sys_munmap(first, 3 * kPage), 0);
  EXPECT_EQ(hak_os_sys_munmap(second, kPage), 0);
  EXPECT_EQ(hak_os_fake_failures(HAK_OS_FAKE_MMAP), 2u);
}

TEST_F(OsFake, ClockStandsStillUntilToldToMove) {
  EXPECT_GT(hak_os_sys_clock_ms(), 0u);
  hak_os_fake_set_clock_ms(100);
  EXPECT_EQ(hak_os_sys_clock_ms(), 100u);
  hak_os_fake_advance_clock_ms(50);
  EXPECT_EQ(hak_os_sys_clock_ms(), 150u);
}

TEST_F(OsFake, LargePagesAreEnforced) {
  hak_os_fake_set_page_bytes(65536);
  EXPECT_EQ(hak_os_sys_page_bytes(), 65536u);
  std::vector<char*> maps;
  for (int i = 0; i < 32; i++) {
    maps.push_back(Map(4096));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(maps.back()) % 65536, 0u);
  }
  EXPECT_EQ(hak_os_fake_mapped_bytes(), 32u * 65536);
  errno = 0;
  EXPECT_EQ(hak_os_sys_munmap(maps[0] + 4096, 4096), -1);
  EXPECT_EQ(errno, EINVAL);
  for (char* base : maps) EXPECT_EQ(hak_os_sys_munmap(base, 65536), 0);
  hak_os_fake_set_page_bytes(0);
  EXPECT_EQ(hak_os_sys_page_bytes(), static_cast<size_t>(sysconf(_SC_PAGESIZE)));
}

hak_os_fake_call observed_call;
size_t observed_bytes;

TEST_F(OsFake, ObserverSeesEachCall) {
  hak_os_fake_set_observer([](hak_os_fake_call call, void*, size_t bytes) {
    observed_call = call;
    observed_bytes = bytes;
    hak_os_fake_mapped_bytes(); /* may ask */
  });
  char* base = Map(3 * kPage);
  EXPECT_EQ(observed_call, HAK_OS_FAKE_MMAP);
  EXPECT_EQ(observed_bytes, 3 * kPage);
  EXPECT_EQ(hak_os_sys_munmap(base, 3 * kPage), 0);
  EXPECT_EQ(observed_call, HAK_OS_FAKE_MUNMAP);
}

TEST_F(OsFakeDeathTest, OthersMemoryIsNotToBeTouched) {
  void* others = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(others, MAP_FAILED);
  EXPECT_DEATH(hak_os_sys_munmap(others, kPage), "munmap at 0x");
  EXPECT_DEATH(hak_os_sys_madvise(others, kPage, MADV_DONTNEED), "madvise at 0x");
  EXPECT_DEATH(hak_os_sys_mprotect(others, kPage, PROT_NONE), "mprotect at 0x");
  EXPECT_DEATH(hak_os_sys_mremap(others, kPage, 2 * kPage, 0, nullptr), "mremap at 0x");
  char* ours = Map(kPage);
  EXPECT_DEATH(hak_os_sys_munmap(ours, 2 * kPage), "munmap at 0x");
  EXPECT_DEATH(hak_os_sys_mremap(ours, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, others), "somebody else's");
  EXPECT_EQ(hak_os_sys_munmap(ours, kPage), 0);
  munmap(others, kPage);
}

TEST_F(OsFake, SpreadsMappings) {
  constexpr size_t kStep = size_t{4} << 30;
  char* free_range = Map(kPage);
  const uintptr_t base = reinterpret_cast<uintptr_t>(free_range) / kStep * kStep - 4 * kStep;
  hak_os_fake_spread(base, kStep);
  char* first = Map(kPage);
  char* second = Map(kPage);
  EXPECT_EQ((reinterpret_cast<uintptr_t>(first) - base) % kStep, 0u);
  EXPECT_GE(second, first + kStep);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second) % kStep, base % kStep);
  memset(second, 1, kPage);
  hak_os_fake_spread(0, 0);
  for (char* mapped : {free_range, first, second}) EXPECT_EQ(hak_os_sys_munmap(mapped, kPage), 0);
}

TEST_F(OsFake, PromisesWhatIsNotThere) {
  constexpr uintptr_t kBase = uintptr_t{1} << 48;
  hak_os_fake_answer_with(kBase, 2 * kPage);
  char* there = Map(kPage);
  ASSERT_NE(there, nullptr);
  memset(there, 1, kPage);
  char* first = Map(2 * kPage);
  char* second = Map(4 * kPage);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first), kBase);
  EXPECT_EQ(second, first + 2 * kPage);
  EXPECT_EQ(hak_os_fake_mapped_bytes(), 7 * kPage);
  EXPECT_EQ(hak_os_sys_madvise(first, kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(hak_os_sys_mremap(second, 4 * kPage, 8 * kPage, 0, nullptr), MAP_FAILED);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(hak_os_sys_munmap(first, 6 * kPage), 0);
  hak_os_fake_answer_with(0, 0);
  char* real = Map(2 * kPage);
  ASSERT_NE(real, nullptr);
  memset(real, 1, 2 * kPage);
  EXPECT_EQ(hak_os_sys_munmap(real, 2 * kPage), 0);
  EXPECT_EQ(hak_os_sys_munmap(there, kPage), 0);
}

TEST_F(OsFake, ThreadsAndForksShareIt) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([] {
      for (int i = 0; i < 500; i++) hak_os_sys_munmap(Map(kPage), kPage);
    });
  }
  for (int i = 0; i < 20; i++) {
    const pid_t child = fork();
    if (child == 0) {
      const bool done = hak_os_sys_munmap(Map(kPage), kPage) == 0; /* the mutex is free */
      /* Not _exit: ThreadSanitizer takes hold of that and reports the parent's threads as leaked. */
      syscall(SYS_exit_group, done ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MMAP), 2000u);
}

}  // namespace
