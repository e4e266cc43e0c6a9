/* What the tests of the whole allocator have in common. */
#ifndef HAKMEM_TESTING_WHOLE_SUPPORT_H_
#define HAKMEM_TESTING_WHOLE_SUPPORT_H_

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <mutex>
#include <utility>
#include <vector>

#include "hakmem/report/report.h"
#include "hakmem/testing/model/checked.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace hak_testing {

/* A sanitizer's own books come and go with threads and blocks: resident memory then says nothing about HAKMEM. */
constexpr bool kHasOwnMemory = HAK_CONFIG_SANITIZE_ADDRESS || HAK_CONFIG_SANITIZE_THREAD;

/* qemu-user runs the test (tools/world aarch64). */
inline bool IsEmulated() { return getenv("HAKMEM_TEST_EMULATOR") != nullptr; }

/* First in a test that qemu-user cannot run, with the reason. */
#define HAK_NOT_EMULATED(why) \
  if (hak_testing::IsEmulated()) GTEST_SKIP() << "under qemu-user: " << (why)

/* Resident bytes of the process, as the page tables have them: statm lags behind by up to 64 pages a thread. */
inline int64_t ResidentBytes() {
  FILE* file = fopen("/proc/self/smaps_rollup", "r");
  if (file == nullptr) return -1;
  char line[256];
  long long kib = -1;
  while (fgets(line, sizeof line, file) != nullptr && sscanf(line, "Rss: %lld kB", &kib) != 1) {
  }
  fclose(file);
  return kib * 1024;
}

/* All blocks are free and the threads that had them are gone: then nothing is live, and a trim leaves nothing mapped. */
inline void ExpectNothingLeft(hak_model::Checked* heap) {
  EXPECT_EQ(heap->model()->LiveBlocks(), 0u);
  hak_trim();
  const hak_report_figures figures = hak_report_read_figures();
  EXPECT_EQ(figures.live_bytes, 0u);
  EXPECT_EQ(figures.live_whales, 0u);
  EXPECT_EQ(figures.mapped_bytes, 0u);
}

/* Memory from the kernel, for what threads use while others fork: a sanitizer's malloc is not made for that, and hangs in
 * the child. */
template <typename T>
struct KernelAllocator {
  using value_type = T;
  KernelAllocator() = default;
  template <typename U>
  explicit KernelAllocator(const KernelAllocator<U>&) {}
  T* allocate(size_t count) {
    void* base = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) abort();
    return static_cast<T*>(base);
  }
  void deallocate(T* base, size_t count) { munmap(base, count * sizeof(T)); }
  bool operator==(const KernelAllocator&) const { return true; }
  bool operator!=(const KernelAllocator&) const { return false; }
};

using Blocks = std::vector<hak_model::Block, KernelAllocator<hak_model::Block>>;

/* A queue of blocks on their way to another thread. Its mutex is the program's own synchronisation of a hand-over. */
class Inbox {
 public:
  void Put(const hak_model::Block& block) {
    std::lock_guard<std::mutex> lock(mutex_);
    blocks_.push_back(block);
  }

  Blocks TakeAll() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(blocks_, Blocks());
  }

  void FreeAll(hak_model::Checked* heap) {
    for (const hak_model::Block& block : TakeAll()) heap->Free(block);
  }

 private:
  std::mutex mutex_;
  Blocks blocks_;
};

}  // namespace hak_testing

#endif /* HAKMEM_TESTING_WHOLE_SUPPORT_H_ */
