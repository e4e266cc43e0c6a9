#include "hakmem/recorder/recorder.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/instrument/instrument.h"

#include "gtest/gtest.h"

namespace {

const void* At(uintptr_t address) { return reinterpret_cast<const void*>(address); }

void Malloc(uintptr_t address, size_t bytes) {
  (void)hak_instrument_on_malloc(hak_instrument_follow(), const_cast<void*>(At(address)), bytes);
}

void Free(uintptr_t address) { hak_instrument_on_free(hak_instrument_follow(), At(address)); }

uint64_t Op(const hak_recorder_row& row) { return row.op_and_size >> HAK_RECORDER_OP_SHIFT; }
uint64_t Size(const hak_recorder_row& row) { return row.op_and_size & ((1ull << HAK_RECORDER_OP_SHIFT) - 1); }

class Recorder : public testing::Test {
 protected:
  void Start(uint64_t rows) {
    hak_config_set_for_test(HAK_OPTION_FLIGHT_RECORDER, rows);
    hak_recorder_start();
    hak_instrument_set_heap(hak_heap_acquire(1 << 20));
  }

  void TearDown() override {
    hak_instrument_reset_for_test();
    hak_heap* heap = hak_heap_current;
    hak_heap_set_current(&hak_heap_empty, true, true);
    if (hak_heap_is_real(heap)) hak_heap_park(heap);
    hak_recorder_reset_for_test();
    hak_config_reset_for_test();
  }
};

TEST_F(Recorder, OffByDefault) {
  hak_recorder_start();
  Malloc(0x1000, 10);
  EXPECT_EQ(hak_recorder_ring_count(), 0u);
  EXPECT_FALSE(hak_instrument_is_on());
}

TEST_F(Recorder, KeepsTheLastOperations) {
  Start(4);
  ASSERT_TRUE(hak_instrument_begin(At(0xca11)));
  Malloc(0x1000, 10);
  hak_instrument_end(true);
  for (uintptr_t i = 2; i <= 6; i++) Malloc(i * 0x1000, i);
  Free(0x6000);
  const hak_recorder_ring* ring = hak_recorder_own();
  ASSERT_NE(ring, nullptr);
  EXPECT_EQ(ring, hak_recorder_ring_at(0));
  EXPECT_EQ(ring->capacity, 4u);
  EXPECT_EQ(ring->thread, static_cast<uint32_t>(syscall(SYS_gettid)));
  ASSERT_EQ(hak_u64_load_relaxed(&ring->count), 7u);
  const hak_recorder_row& freed = ring->rows[6 % 4];
  EXPECT_EQ(freed.ptr, At(0x6000));
  EXPECT_EQ(Op(freed), HAK_INSTRUMENT_FREE);
  const hak_recorder_row& allocated = ring->rows[3 % 4];
  EXPECT_EQ(allocated.ptr, At(0x4000));
  EXPECT_EQ(Op(allocated), HAK_INSTRUMENT_MALLOC);
  EXPECT_EQ(Size(allocated), 4u);
  EXPECT_EQ(allocated.caller, nullptr);
  EXPECT_LE(allocated.time_ns, freed.time_ns);
}

TEST_F(Recorder, KnowsTheOutermostCaller) {
  Start(4);
  const bool outer = hak_instrument_begin(At(0xca11));
  EXPECT_FALSE(hak_instrument_begin(At(0x1)));
  Malloc(0x1000, 10);
  hak_instrument_end(outer);
  Free(0x1000);
  const hak_recorder_ring* ring = hak_recorder_own();
  EXPECT_EQ(ring->rows[0].caller, At(0xca11));
  EXPECT_EQ(ring->rows[1].caller, nullptr);
}

TEST_F(Recorder, AFreeOfNothingIsNoOperation) {
  Start(4);
  Free(0);
  Malloc(0x1000, 1);
  EXPECT_EQ(hak_u64_load_relaxed(&hak_recorder_own()->count), 1u);
}

TEST_F(Recorder, AnEndedThreadIsRemembered) {
  Start(8);
  Malloc(0x1000, 1);
  std::thread([] {
    Malloc(0x2000, 2);
    hak_recorder_end_thread();
    Malloc(0x3000, 3);
  }).join();
  ASSERT_EQ(hak_recorder_ring_count(), 2u);
  const hak_recorder_ring* ring = hak_recorder_ring_at(1);
  EXPECT_EQ(hak_u32_load_relaxed(&ring->state), static_cast<uint32_t>(HAK_RECORDER_ENDED));
  EXPECT_EQ(hak_u64_load_relaxed(&ring->count), 1u);
  EXPECT_EQ(ring->rows[0].ptr, At(0x2000));
}

TEST_F(Recorder, TheRingThatEndedFirstIsTakenWhenThereAreNoMore) {
  Start(1);
  Malloc(0x1000, 1);
  for (uintptr_t i = 1; i < HAK_RECORDER_RINGS_MAX; i++) {
    std::thread([i] {
      Malloc(i << 16, 1);
      hak_recorder_end_thread();
    }).join();
  }
  ASSERT_EQ(hak_recorder_ring_count(), static_cast<uint32_t>(HAK_RECORDER_RINGS_MAX));
  std::thread([] {
    Malloc(0x7000, 1);
    EXPECT_EQ(hak_recorder_own(), hak_recorder_ring_at(1));
    hak_recorder_end_thread();
  }).join();
  EXPECT_EQ(hak_recorder_ring_at(1)->rows[0].ptr, At(0x7000));
  EXPECT_EQ(hak_recorder_ring_at(2)->rows[0].ptr, At(2 << 16));
  EXPECT_EQ(hak_recorder_missed(), 0u);
}

TEST_F(Recorder, MoreThreadsThanRings) {
  Start(1);
  std::vector<std::thread> threads;
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  for (int i = 0; i < HAK_RECORDER_RINGS_MAX + 3; i++) {
    threads.emplace_back([&] {
      Malloc(0x1000, 1);
      ready++;
      while (!go) std::this_thread::yield();
      Malloc(0x2000, 1);
      hak_recorder_end_thread();
    });
  }
  while (ready != HAK_RECORDER_RINGS_MAX + 3) std::this_thread::yield();
  EXPECT_EQ(hak_recorder_missed(), 3u);
  go = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(hak_recorder_missed(), 3u);
}

TEST_F(Recorder, OnlyTheForkingThreadGoesOnInTheChild) {
  Start(4);
  Malloc(0x1000, 1);
  std::atomic<bool> ready{false};
  std::atomic<bool> go{false};
  std::thread other([&] {
    Malloc(0x2000, 1);
    ready = true;
    while (!go) std::this_thread::yield();
  });
  while (!ready) std::this_thread::yield();
  const pid_t child = fork();
  if (child == 0) {
    hak_recorder_after_fork();
    Malloc(0x3000, 1);
    const hak_recorder_ring* ring = hak_recorder_own();
    const bool is_right = ring == hak_recorder_ring_at(0) && hak_u64_load_relaxed(&ring->count) == 2 &&
                          ring->thread == static_cast<uint32_t>(getpid()) &&
                          hak_u32_load_relaxed(&ring->state) == HAK_RECORDER_ACTIVE &&
                          hak_u32_load_relaxed(&hak_recorder_ring_at(1)->state) == HAK_RECORDER_ENDED;
    _exit(is_right ? 0 : 1);
  }
  int status = 1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  go = true;
  other.join();
}

}  // namespace
