// What the kernel may refuse: address space (RLIMIT_AS), and system calls that a sandbox filters out (seccomp).
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "hakmem/report/report.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/model/random.h"
#include "hakmem/testing/whole/actor.h"
#include "hakmem/testing/whole/child.h"
#include "hakmem/testing/whole/support.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

using hak_model::Block;
using hak_model::Checked;
using hak_testing::Actor;
using hak_testing::SucceedsInChild;

constexpr uint64_t kMiB = 1024 * 1024;

// --- RLIMIT_AS ---

uint64_t AddressSpaceBytes() {
  FILE* file = fopen("/proc/self/statm", "r");
  unsigned long pages = 0;
  if (file == nullptr || fscanf(file, "%lu", &pages) != 1) pages = 0;
  if (file != nullptr) fclose(file);
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void SetRoomBytes(uint64_t room_bytes) {
  struct rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &limit), 0);
  const uint64_t used_bytes = AddressSpaceBytes();
  ASSERT_GT(used_bytes, 0u);
  limit.rlim_cur = used_bytes + room_bytes;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

// Blocks of `bytes` until there is no more memory; their sum in bytes. No model: it would map memory of its own.
uint64_t AllocateUntilNull(size_t bytes, std::vector<void*>* blocks) {
  uint64_t sum = 0;
  while (blocks->size() < blocks->capacity()) {
    errno = 0;
    void* block = hak_malloc(bytes);
    if (block == nullptr) {
      EXPECT_EQ(errno, ENOMEM);
      return sum;
    }
    *static_cast<volatile size_t*>(block) = blocks->size();
    blocks->push_back(block);
    sum += bytes;
  }
  ADD_FAILURE() << "memory has no end";
  return sum;
}

void FreeAll(std::vector<void*>* blocks) {
  for (size_t i = 0; i < blocks->size(); i++) {
    EXPECT_EQ(*static_cast<size_t*>((*blocks)[i]), i);
    errno = 77;
    hak_free((*blocks)[i]);
    EXPECT_EQ(errno, 77);
  }
  blocks->clear();
}

using LimitParameter = std::tuple<uint64_t, size_t>;  // MiB of room, bytes a block

std::string NameOf(const testing::TestParamInfo<LimitParameter>& parameter) {
  return std::to_string(std::get<0>(parameter.param)) + "MiBOf" + std::to_string(std::get<1>(parameter.param));
}

class AddressSpaceLimit : public testing::TestWithParam<LimitParameter> {};

TEST_P(AddressSpaceLimit, MemoryEndsAndComesBack) {
  HAK_NOT_EMULATED("it drops RLIMIT_AS");
  const uint64_t room_bytes = std::get<0>(GetParam()) * kMiB;
  const size_t bytes = std::get<1>(GetParam());
  EXPECT_TRUE(SucceedsInChild([&] {
    std::vector<void*> blocks;
    blocks.reserve(room_bytes / bytes + 100);
    SetRoomBytes(room_bytes);
    uint64_t first_bytes = 0;
    for (int round = 0; round < 3; round++) {
      const uint64_t got_bytes = AllocateUntilNull(bytes, &blocks);
      // Of 16 MiB a MiB goes to descriptors, and up to 4 to the SuperSlab that no longer fits.
      EXPECT_GE(got_bytes, room_bytes / 2) << round;
      EXPECT_EQ(hak_calloc(1, 64 * kMiB), nullptr);
      if (round == 0) first_bytes = got_bytes;
      EXPECT_GE(got_bytes, first_bytes - first_bytes / 10) << round;
      FreeAll(&blocks);
    }
    hak_trim();
    EXPECT_EQ(hak_report_read_figures().mapped_bytes, 0u);
  }));
}

INSTANTIATE_TEST_SUITE_P(Sizes, AddressSpaceLimit,
                         testing::Combine(testing::Values(16, 64),
                                          testing::Values(16, 1000, 20000, 100000, 600000, 3000000)),
                         NameOf);

// With no room at all the first malloc of the process says so, and works when there is room again.
TEST(AddressSpace, NoRoomAtAll) {
  HAK_NOT_EMULATED("it drops RLIMIT_AS");
  EXPECT_TRUE(SucceedsInChild([] {
    struct rlimit before;
    ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
    SetRoomBytes(0);
    for (const size_t bytes : {size_t{1}, size_t{100000}, size_t{1000000}, size_t{10000000}}) {
      errno = 0;
      EXPECT_EQ(hak_malloc(bytes), nullptr) << bytes;
      EXPECT_EQ(errno, ENOMEM) << bytes;
    }
    ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
    void* block = hak_malloc(1);
    EXPECT_NE(block, nullptr);
    hak_free(block);
  }));
}

// --- seccomp ---

void RefuseSystemCall(int number, int error) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
  errno = 0;
  ASSERT_EQ(syscall(number, 0, 0, 0, 0, 0), -1);
  ASSERT_EQ(errno, error);
}

void LiveOn() {
  Checked heap;
  Actor actor(&heap, 1);
  for (int i = 0; i < 5000; i++) actor.Step();
  Block block = heap.Malloc(100);
  for (size_t bytes = 1000; bytes < 30 * kMiB; bytes *= 3) ASSERT_TRUE(heap.Realloc(&block, bytes));
  heap.Free(block);
  std::thread([&heap] {
    Actor other(&heap, 2);
    for (int i = 0; i < 2000; i++) other.Step();
    other.FreeAll();
  }).join();
  actor.FreeAll();
  hak_testing::ExpectNothingLeft(&heap);
}

using FilterParameter = std::tuple<int, int>;  // system call, errno

class Sandbox : public testing::TestWithParam<FilterParameter> {};

TEST_P(Sandbox, EverythingGoesOn) {
  HAK_NOT_EMULATED("no seccomp");
  EXPECT_TRUE(SucceedsInChild([] {
    const auto [number, error] = GetParam();
    RefuseSystemCall(number, error);
    LiveOn();
  }));
}

TEST_P(Sandbox, EverythingGoesOnWhenItComesLate) {
  HAK_NOT_EMULATED("no seccomp");
  EXPECT_TRUE(SucceedsInChild([] {
    const auto [number, error] = GetParam();
    LiveOn();
    RefuseSystemCall(number, error);
    LiveOn();
  }));
}

INSTANTIATE_TEST_SUITE_P(Calls, Sandbox,
                         testing::Combine(testing::Values(SYS_madvise, SYS_mremap, SYS_membarrier, SYS_getcpu,
                                                          SYS_openat),
                                          testing::Values(EPERM, EINVAL)));

}  // namespace
