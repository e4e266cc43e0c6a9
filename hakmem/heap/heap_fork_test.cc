// What a fork finds of a heap that another thread is about to have: the thread goes instruction by instruction.
#include <signal.h>
#include <ucontext.h>

#include "hakmem/heap/heap.h"

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kLimit = 8 * 1024 * 1024;
constexpr greg_t kTrapFlag = 0x100;

hak_heap* watched = nullptr;
volatile sig_atomic_t is_stepping, steps, broken;

// True when the heap is parked as it is in the child of a fork: nobody forks while somebody has the lock.
bool IsForTheChild() {
  return hak_u32_load_relaxed(&hak_heap_parked_lock()->word) == 0 &&
         hak_u32_load_relaxed(&watched->state) == HAK_HEAP_ACTIVE && hak_u32_load_relaxed(&watched->in_slow_path) == 0;
}

void OnStep(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  if (!is_stepping) static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
  steps = steps + 1;
  if (!IsForTheChild()) return;
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const hak_bin* bin = hak_heap_bin(watched, c);
    if (bin->top != bin->end) broken = broken + 1; /* it caches nothing */
  }
}

void Step() {
  is_stepping = 1;
  __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
                       : "memory", "cc");
}

TEST(HeapFork, ANewThreadsCachesAreWholeAtEachInstruction) {
  watched = hak_heap_acquire(kLimit);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(watched, c);
    bin->size_class = static_cast<uint8_t>(c);
    hak_heap_start_cache(watched, bin);
    bin->stride = hak_size_class_table[c].block_bytes;
  }
  hak_heap_park(watched);
  struct sigaction action = {}, before;
  action.sa_sigaction = OnStep;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, &before);
  Step();
  hak_heap* heap = hak_heap_acquire(1); /* less than the caches have: they start anew */
  is_stepping = 0;
  sigaction(SIGTRAP, &before, nullptr);
  EXPECT_EQ(heap, watched);
  EXPECT_GT(steps, 1000);
  EXPECT_EQ(broken, 0);
}

}  // namespace
