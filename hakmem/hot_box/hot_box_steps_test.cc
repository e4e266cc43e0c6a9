// Hits that something comes amid: the thread goes instruction by instruction, and it comes at each. A fork, whose child knows the thread as
// one that has vanished, and a signal whose handler has hits of its own.
#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "hakmem/hot_box/hot_box.h"
#include "hakmem/os/lock.h"

#include "gtest/gtest.h"

namespace {

constexpr greg_t kTrapFlag = 0x100;
constexpr uint32_t kClass = HAK_SIZE_CLASS_OF_TINY(64);

using Step = void (*)(int nth);
Step on_step = nullptr;
volatile sig_atomic_t is_stepping, steps;

void OnTrap(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  if (!is_stepping) {
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
    return;
  }
  steps = steps + 1;
  on_step(steps);
}

void StartStepping() {
  is_stepping = 1;
  __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::
                       : "memory", "cc");
}

hak_bin* bin = nullptr;
char blocks[6][64];

// What is live and what is cached afterwards.
struct Outcome {
  std::vector<void*> live, cached;
};

void DoNothing(int nth) { (void)nth; }

// Four cached blocks, two pops, a push, a pop and a push.
Outcome HitsWith(Step step) {
  while (bin->first != nullptr) hak_bin_set_top(bin, bin->top + 1);
  for (int i = 0; i < 4; i++) EXPECT_TRUE(hak_hot_box_push_to(bin, blocks[i]));
  Outcome out;
  void* popped[3] = {};
  on_step = step;
  steps = 0;
  StartStepping();
  bool hits = hak_hot_box_pop(bin, &popped[0]);
  hits &= hak_hot_box_pop(bin, &popped[1]);
  hits &= hak_hot_box_push_to(bin, blocks[4]);
  hits &= hak_hot_box_pop(bin, &popped[2]);
  hits &= hak_hot_box_push_to(bin, blocks[5]);
  is_stepping = 0;
  for (void* block : popped) {
    if (block != nullptr) out.live.push_back(block); /* a miss is allowed: the slow path would have come */
  }
  if (step == DoNothing) {
    EXPECT_TRUE(hits);
  }
  out.cached.assign(bin->top, bin->end);
  return out;
}

class HotBoxSteps : public testing::Test {
 protected:
  void SetUp() override {
    if (bin == nullptr) {
      hak_heap* heap = hak_heap_acquire(8 << 20);
      bin = hak_heap_bin(heap, kClass);
      bin->size_class = kClass;
      hak_heap_start_cache(heap, bin);
      bin->stride = 64;
    }
    struct sigaction action = {};
    action.sa_sigaction = OnTrap;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, &before_);
  }
  void TearDown() override { sigaction(SIGTRAP, &before_, nullptr); }

 private:
  struct sigaction before_;
};

volatile sig_atomic_t unsettled, broken;

// In the child. 0: the cache is whole; 1: it is, and was not before; 2: it is not.
int Settle() {
  const bool was_whole = bin->first == *bin->top;
  hak_lock_take(hak_heap_parked_lock());
  hak_heap_orphan_others_locked(nullptr);
  hak_lock_give(hak_heap_parked_lock());
  if (bin->top < bin->begin || bin->top > bin->end || *bin->end != nullptr || bin->first != *bin->top) return 2;
  return was_whole ? 0 : 1;
}

TEST_F(HotBoxSteps, ACacheIsWholeInTheChildWhereverAHitWas) {
  const Outcome outcome = HitsWith([](int nth) {
    (void)nth;
    const pid_t child = fork();
    if (child == 0) _exit(Settle());
    int status;
    const bool has_ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    if (!has_ended || WEXITSTATUS(status) == 2) broken = broken + 1;
    if (has_ended && WEXITSTATUS(status) == 1) unsettled = unsettled + 1;
  });
  EXPECT_EQ(outcome.live, (std::vector<void*>{blocks[3], blocks[2], blocks[4]}));
  EXPECT_EQ(outcome.cached, (std::vector<void*>{blocks[5], blocks[1], blocks[0]}));
  EXPECT_GT(steps, 30);
  EXPECT_GE(unsettled, 5) << "each hit has two stores that belong together";
  EXPECT_EQ(broken, 0);
}

int act_at, act_case;

// Takes up to three blocks and gives them back: the last one first, the first one first, or in between.
void TakeAndGiveBack(int nth) {
  if (nth != act_at) return;
  void* taken[3];
  int count = 0;
  while (count < 1 + act_case % 3 && hak_hot_box_pop(bin, &taken[count])) count++;
  if (act_case / 3 == 0) std::reverse(taken, taken + count);
  if (act_case / 3 == 2) std::swap(taken[0], taken[count / 2]);
  for (int i = 0; i < count; i++) {
    if (!hak_hot_box_push_to(bin, taken[i])) broken = broken + 1;
  }
}

TEST_F(HotBoxSteps, AHandlerThatGivesBackWhatItTakesHarmsNothing) {
  const Outcome undisturbed = HitsWith(DoNothing);
  const int last = steps;
  std::vector<void*> expected = undisturbed.live;
  expected.insert(expected.end(), undisturbed.cached.begin(), undisturbed.cached.end());
  std::sort(expected.begin(), expected.end());
  broken = 0;
  for (act_case = 0; act_case < 9; act_case++) {
    for (act_at = 1; act_at <= last; act_at++) {
      const Outcome outcome = HitsWith(TakeAndGiveBack);
      std::vector<void*> all = outcome.live;
      all.insert(all.end(), outcome.cached.begin(), outcome.cached.end());
      std::sort(all.begin(), all.end());
      EXPECT_EQ(all, expected) << "a block twice, or lost: step " << act_at << ", case " << act_case;
    }
  }
  EXPECT_EQ(broken, 0);
}

}  // namespace
