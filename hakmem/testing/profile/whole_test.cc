// The heap profile over the whole allocator: its estimates are right, whatever the program does meanwhile.
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/profile/estimate.h"
#include "hakmem/profile/profile.h"
#include "hakmem/registry/registry.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

constexpr size_t kKiB = 1024;

hak_profile_tables Tables() {
  hak_lock_take(hak_profile_lock());
  hak_profile_tables out = *hak_profile_read();
  hak_lock_give(hak_profile_lock());
  return out;
}

bool IsSmallSample(const void* block) { return hak_registry_word(block) == HAK_REGISTRY_SAMPLED; }

class ProfileWhole : public testing::Test {
 protected:
  void TearDown() override {
    Stop();
    EXPECT_TRUE(hak_profile_is_valid());
    hak_trim();
  }

  static void Start(uint64_t mean) {
    hak_profile_begin(mean);
    hak_free(hak_malloc(600 * kKiB)); /* a slow path, in which the thread follows */
  }

  static void Stop() {
    hak_profile_end();
    hak_free(hak_malloc(600 * kKiB));
    ASSERT_EQ(hak_instrument_mode, 0u);
  }
};

// Blocks of every kind, some grown, a random half freed: what is estimated to be live is what is, within the error that
// sampling has. Each block of s bytes and weight 1/p adds s^2 (1 - p) / p to the variance.
TEST_F(ProfileWhole, TheEstimateHasNoBias) {
  std::mt19937 random(7);
  double truth = 0;
  double estimate = 0;
  double variance = 0;
  double blocks_truth = 0;
  double blocks_estimate = 0;
  double blocks_variance = 0;
  for (int round = 0; round < 8; round++) {
    const uint64_t mean = (16 + 16 * round) * kKiB;
    Start(mean);
    const hak_profile_tables before = Tables();
    std::vector<void*> live;
    for (int i = 0; i < 60000; i++) {
      size_t size = 1 + random() % 1000;
      if (i % 50 == 0) size = 1 + random() % (100 * kKiB);
      if (i % 5000 == 0) size = 1 + random() % (4096 * kKiB);
      void* block = i % 3 == 0 ? hak_calloc(1, size) : i % 3 == 1 ? hak_malloc(size) : hak_aligned_alloc(16, size);
      ASSERT_NE(block, nullptr);
      if (i % 7 == 0) {
        size = size * 3 + 1;
        block = hak_realloc(block, size);
        ASSERT_NE(block, nullptr);
      }
      if (random() % 2 == 0) {
        hak_free(block);
        continue;
      }
      live.push_back(block);
      const auto bytes = static_cast<double>(size);
      const double p = -std::expm1(-bytes / static_cast<double>(mean));
      truth += bytes;
      variance += bytes * bytes * (1 - p) / p;
      blocks_truth += 1;
      blocks_variance += (1 - p) / p;
    }
    const hak_profile_tables after = Tables();
    estimate += static_cast<double>(after.live.bytes - before.live.bytes);
    blocks_estimate += static_cast<double>(after.live.blocks - before.live.blocks) / HAK_PROFILE_WEIGHT_ONE;
    EXPECT_EQ(after.dropped, before.dropped);
    for (void* block : live) hak_free(block);
    const hak_profile_tables emptied = Tables();
    EXPECT_EQ(emptied.live.bytes, before.live.bytes) << "every sample has gone with its block";
    EXPECT_EQ(emptied.live_samples, before.live_samples);
    Stop();
  }
  EXPECT_NEAR(estimate, truth, 4 * std::sqrt(variance) + 0.002 * truth);
  EXPECT_NEAR(blocks_estimate, blocks_truth, 4 * std::sqrt(blocks_variance));
  EXPECT_LT(std::sqrt(variance), 0.02 * truth) << "or the test would say little";
}

TEST_F(ProfileWhole, BlocksGrowWhereTheyLieAndStayEstimated) {
  Start(64 * kKiB);
  const hak_profile_tables before = Tables();
  std::vector<void*> live;
  double truth = 0;
  double variance = 0;
  for (int i = 0; i < 300; i++) {
    void* block = nullptr;
    size_t size = 1000;
    for (; size < 1500 * kKiB; size += size / 2) block = hak_realloc(block, size);
    size -= size / 3;
    block = hak_realloc(block, size);
    ASSERT_NE(block, nullptr);
    const double p = -std::expm1(-static_cast<double>(size) / (64.0 * kKiB));
    truth += static_cast<double>(size);
    variance += static_cast<double>(size) * static_cast<double>(size) * (1 - p) / p;
    live.push_back(block);
  }
  const double estimate = static_cast<double>(Tables().live.bytes - before.live.bytes);
  EXPECT_NEAR(estimate, truth, 4 * std::sqrt(variance) + 0.01 * truth);
  for (void* block : live) hak_free(block);
  EXPECT_EQ(Tables().live.bytes, before.live.bytes);
}

TEST_F(ProfileWhole, SampledBlocksAreLikeAnyOther) {
  Start(1);
  for (const size_t size : {40u, 100u, 3000u, 30000u, 100000u, 250000u}) {
    auto* block = static_cast<char*>(hak_malloc(size));
    ASSERT_TRUE(IsSmallSample(block)) << size;
    EXPECT_EQ(hak_malloc_usable_size(block), hak_good_size(size));
    EXPECT_TRUE(hak_is_in_heap(block));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u);
    memset(block, 7, size);
    block = static_cast<char*>(hak_realloc(block, size + size / 8));
    block = static_cast<char*>(hak_realloc(block, 2 * size + 100));
    for (size_t i = 0; i < size; i++) ASSERT_EQ(block[i], 7) << size;
    hak_free_sized(block, 2 * size + 100);
    auto* zeroed = static_cast<char*>(hak_calloc(1, size));
    for (size_t i = 0; i < size; i++) ASSERT_EQ(zeroed[i], 0) << size;
    hak_free(zeroed);
    for (const size_t alignment : {64u, 4096u, 65536u}) {
      void* aligned = hak_aligned_alloc(alignment, size);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(aligned) % alignment, 0u);
      hak_free(aligned);
    }
  }
}

TEST_F(ProfileWhole, MisuseOfASampledBlockIsReported) {
  hak_set_error_action(HAK_ERROR_IGNORE);
  Start(1);
  auto* block = static_cast<char*>(hak_malloc(100));
  void* other = hak_malloc(100); /* keeps the slab */
  uint64_t reports = hak_misuse_count();
  hak_free(block + 16);
  EXPECT_EQ(hak_misuse_count(), ++reports);
  hak_free(block);
  EXPECT_EQ(hak_misuse_count(), reports);
  hak_free(block);
  EXPECT_EQ(hak_misuse_count(), ++reports);
  std::thread([block] { hak_free(block); }).join();
  EXPECT_EQ(hak_misuse_count(), ++reports);
  hak_free_sized(other, 100000);
  EXPECT_EQ(hak_misuse_count(), ++reports);
  hak_free(other);
  hak_set_error_action(HAK_ERROR_ABORT);
}

// A slab that would stay because of one block stays if that block is a sample.
TEST_F(ProfileWhole, TheProfileDoesNotChangeWhatIsPinned) {
  Start(1);
  void* block = hak_malloc(1000);
  ASSERT_TRUE(IsSmallSample(block));
  hak_lock_take(hak_profile_lock());
  const hak_profile_tables* all = hak_profile_read();
  const hak_slab* slab = nullptr;
  for (uint64_t i = 0; i < all->sample_count; i++) {
    const hak_profile_sample* sample = &all->samples[i / 1024][i % 1024];
    if (sample->address == reinterpret_cast<uintptr_t>(block)) slab = sample->slab;
  }
  hak_lock_give(hak_profile_lock());
  ASSERT_NE(slab, nullptr);
  hak_trim();
  EXPECT_LT(hak_slab_free_count(slab), slab->blocks);
  EXPECT_NE(hak_ptr_load_relaxed(&slab->mailbox), nullptr) << "somebody's";
  hak_free(block);
  Stop();
  hak_trim();
  EXPECT_EQ(hak_ptr_load_relaxed(&slab->mailbox), nullptr) << "it went with the block";
}

TEST_F(ProfileWhole, OtherThreadsFreeSampledBlocks) {
  Start(256);
  const hak_profile_tables before = Tables();
  std::vector<void*> blocks;
  std::thread([&blocks] {
    for (int i = 0; i < 5000; i++) blocks.push_back(hak_malloc(16 + i % 500));
  }).join();
  EXPECT_GT(Tables().live_samples, before.live_samples + 1000);
  std::thread([&blocks] {
    for (void* block : blocks) hak_free(block);
  }).join();
  EXPECT_EQ(Tables().live_samples, before.live_samples);
}

TEST_F(ProfileWhole, AChildOfAForkHasItsOwn) {
  Start(256);
  std::vector<void*> blocks;
  for (int i = 0; i < 2000; i++) blocks.push_back(hak_malloc(100));
  std::atomic<bool> stop{false};
  std::thread other([&stop] {
    while (!stop) hak_free(hak_malloc(200));
  });
  const uint64_t samples = Tables().live_samples;
  for (int i = 0; i < 10; i++) {
    const pid_t child = fork();
    if (child == 0) {
      for (void* block : blocks) hak_free(block);
      for (int j = 0; j < 2000; j++) hak_free(hak_malloc(100));
      _exit(hak_profile_is_valid() && Tables().live_samples + 500 < samples ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  other.join();
  for (void* block : blocks) hak_free(block);
}

TEST_F(ProfileWhole, ProgramsSwitchItThemselves) {
  hak_profile_start(64);
  hak_free(hak_malloc(600 * kKiB));
  const hak_profile_tables before = Tables();
  void* block = hak_malloc(100000);
  EXPECT_EQ(Tables().live_samples, before.live_samples + 1);
  const std::string path = testing::TempDir() + "/whole_test_profile_" + std::to_string(getpid());
  EXPECT_TRUE(hak_profile_write(path.c_str()));
  EXPECT_EQ(remove(path.c_str()), 0);
  EXPECT_FALSE(hak_profile_write("/no/such/folder/profile"));
  hak_profile_stop();
  hak_free(hak_malloc(600 * kKiB));
  hak_free(block);
  EXPECT_EQ(Tables().live_samples, before.live_samples);
}

// On and off again and again, other intervals each time, while threads allocate, exchange, grow and free, come and go.
TEST_F(ProfileWhole, SwitchedUnderStress) {
  std::atomic<bool> stop{false};
  std::atomic<void*> shelf[256] = {};
  std::atomic<int> wrong{0};
  const auto work = [&](unsigned seed, int rounds) {
    std::minstd_rand random(seed);
    for (int i = 0; i < rounds && !stop; i++) {
      size_t size = 8 + random() % 2000;
      if (random() % 500 == 0) size = 1 + random() % (3000 * kKiB);
      auto* block = static_cast<unsigned char*>(hak_malloc(size));
      if (block == nullptr) continue;
      const auto mark = static_cast<unsigned char>(reinterpret_cast<uintptr_t>(block) >> 4);
      block[0] = mark;
      if (random() % 8 == 0) {
        auto* moved = static_cast<unsigned char*>(hak_realloc(block, size + random() % 3000));
        if (moved[0] != mark) wrong++;
        block = moved;
        block[0] = static_cast<unsigned char>(reinterpret_cast<uintptr_t>(block) >> 4);
      }
      auto* old = static_cast<unsigned char*>(shelf[random() % 256].exchange(block));
      if (old == nullptr) continue;
      if (old[0] != static_cast<unsigned char>(reinterpret_cast<uintptr_t>(old) >> 4)) wrong++;
      hak_free(old);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 2; t++) threads.emplace_back(work, t + 1, 1 << 30);
  threads.emplace_back([&] {
    for (unsigned i = 0; !stop; i++) std::thread(work, i + 100, 300).join();
  });
  for (int i = 0; i < 150; i++) {
    hak_profile_begin(1ull << (6 + i % 12));
    usleep(1500);
    if (i % 2 == 0) hak_profile_end();
    if (i % 16 == 0) hak_trim();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  for (std::atomic<void*>& block : shelf) hak_free(block.load());
  Stop();
  EXPECT_TRUE(hak_profile_is_valid());
  EXPECT_EQ(Tables().live_samples, 0u) << "nothing is live, and no sample is left behind";
  EXPECT_EQ(Tables().live.bytes, 0u);
}

}  // namespace
