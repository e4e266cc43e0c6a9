#include "hakmem/profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "hakmem/base/poison.h"
#include "hakmem/config/config.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/profile/estimate.h"
#include "hakmem/profile/stack.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/whale_cache/whale_cache.h"

#include "gtest/gtest.h"

namespace {

constexpr size_t kKiB = 1024;

const hak_profile_tables& All() { return *hak_profile_read(); }

// Every malloc is a sample: the mean distance is a byte. What malloc does is done here by hand: a block of a heap's slab.
class Profile : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    heap_ = hak_heap_acquire(0);
    hak_profile_set_hooks();
    hak_profile_begin(1);
    mode_ = hak_instrument_follow();
    ASSERT_EQ(mode_, static_cast<uint32_t>(HAK_INSTRUMENT_SAMPLE));
  }

  void TearDown() override {
    EXPECT_TRUE(hak_profile_is_valid());
    hak_instrument_reset_for_test();
    hak_heap_park(heap_);
    hak_os_fake_reset();
  }

  hak_slab* Slab(uint32_t size_class) {
    hak_slab* slab = hak_shared_pool_acquire(heap_, size_class);
    EXPECT_NE(slab, nullptr);
    return slab;
  }

  void* Malloc(void* usual, size_t bytes) {
    void* block = hak_instrument_on_malloc(mode_, usual, bytes);
    hak_unpoison(block, bytes); /* the gate's part */
    return block;
  }

  static void* FreeSmall(void* block) {
    auto* slab = static_cast<hak_slab*>(hak_registry_owner(block));
    void* twin = nullptr;
    EXPECT_TRUE(hak_profile_free_small(slab, hak_slab_index(slab, block), &twin));
    return twin;
  }

  hak_heap* heap_ = nullptr;
  uint32_t mode_ = 0;
};

TEST_F(Profile, Invariant1And2ASmallBlockLiesApartAndItsTwinStays) {
  const uint32_t size_class = hak_size_class_of(100);
  hak_slab* slab = Slab(size_class);
  const hak_slab_run run = hak_slab_take_run(slab);
  const uint64_t before = All().live_samples;
  std::set<void*> blocks;
  for (int i = 0; i < 50; i++) {
    void* usual = run.base + static_cast<size_t>(i) * slab->block_bytes;
    void* block = Malloc(usual, 100);
    EXPECT_NE(block, usual);
    EXPECT_EQ(hak_registry_word(block), static_cast<uint64_t>(HAK_REGISTRY_SAMPLED));
    EXPECT_EQ(static_cast<hak_slab*>(hak_registry_owner(block))->size_class, size_class);
    EXPECT_TRUE(hak_profile_keeps_twin(usual));
    EXPECT_TRUE(blocks.insert(block).second) << "no two are the same";
    memset(block, i, 100);
  }
  EXPECT_EQ(All().live_samples, before + 50);
  for (void* block : blocks) {
    const void* twin = FreeSmall(block);
    EXPECT_EQ(hak_registry_owner(twin), slab);
  }
  EXPECT_EQ(All().live_samples, before);
  EXPECT_EQ(hak_registry_word(*blocks.begin()), static_cast<uint64_t>(HAK_REGISTRY_NONE)) << "the slab is released";
  hak_slab_give_word(slab, 0, run.mask);
  hak_shared_pool_release(heap_, slab);
}

TEST_F(Profile, HowFullBlocksAreIsKnownOfLiveSamples) {
  hak_slab* slab = Slab(hak_size_class_of(100));
  const hak_slab_run run = hak_slab_take_run(slab);
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(8, &zeroed);
  const hak_profile_filling before = hak_profile_read_filling();
  const auto grown = [&](uint64_t asked, uint64_t block, uint64_t samples) {
    const hak_profile_filling now = hak_profile_read_filling();
    EXPECT_EQ(now.asked_bytes - before.asked_bytes, asked);
    EXPECT_EQ(now.block_bytes - before.block_bytes, block);
    EXPECT_EQ(now.samples - before.samples, samples);
  };
  void* small = Malloc(run.base, 100);
  grown(100, 112, 1);
  Malloc(span->base, 500 * kKiB);
  grown(100 + 500 * kKiB, 112 + 512 * kKiB, 2);
  hak_instrument_on_resize(mode_, span->base, span->base, 500 * kKiB, 510 * kKiB, true);
  grown(100 + 510 * kKiB, 112 + 512 * kKiB, 2);
  FreeSmall(small);
  grown(510 * kKiB, 512 * kKiB, 1);
  hak_profile_forget_large(&span->sample);
  grown(0, 0, 0);
  hak_shared_pool_release_span(span);
  hak_slab_give_word(slab, 0, run.mask);
  hak_shared_pool_release(heap_, slab);
}

TEST_F(Profile, ADoubleFreeIsTold) {
  hak_slab* slab = Slab(0);
  const hak_slab_run run = hak_slab_take_run(slab);
  void* first = Malloc(run.base, 16);
  void* second = Malloc(run.base + 16, 16); /* keeps the slab */
  FreeSmall(first);
  auto* sampled = static_cast<hak_slab*>(hak_registry_owner(first));
  void* twin = &sampled;
  EXPECT_FALSE(hak_profile_free_small(sampled, hak_slab_index(sampled, first), &twin));
  EXPECT_EQ(twin, nullptr);
  FreeSmall(second);
  hak_slab_give_word(slab, 0, run.mask);
  hak_shared_pool_release(heap_, slab);
}

TEST_F(Profile, SlabsOfAllClassesServe) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_slab* slab = Slab(c);
    const hak_slab_run run = hak_slab_take_run(slab);
    char* block = static_cast<char*>(Malloc(run.base, slab->block_bytes));
    ASSERT_NE(block, run.base) << c;
    block[0] = block[slab->block_bytes - 1] = 1;
    EXPECT_EQ(hak_profile_keeps_twin(run.base), c < HAK_SIZE_CLASS_SHARED_COUNT) << c;
    EXPECT_EQ(FreeSmall(block) != nullptr, c < HAK_SIZE_CLASS_SHARED_COUNT) << c;
    hak_slab_give_word(slab, 0, run.mask);
    hak_shared_pool_release(heap_, slab);
  }
}

// More blocks than a slab has, freed in an order of their own, with more taken in between.
TEST_F(Profile, SampledSlabsFillAndEmpty) {
  const uint32_t size_class = hak_size_class_of(2048);
  hak_slab* slab = Slab(size_class);
  const hak_slab_run run = hak_slab_take_run(slab);
  const uint64_t slabs_before = hak_shared_pool_read_figures().live_slabs;
  std::vector<void*> blocks;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 100; i++) blocks.push_back(Malloc(run.base, 2048));
    EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), blocks.size());
    for (size_t i = round % 2; i < blocks.size(); i++) {
      FreeSmall(blocks[i]);
      blocks.erase(blocks.begin() + static_cast<long>(i));
    }
    EXPECT_TRUE(hak_profile_is_valid());
  }
  for (void* block : blocks) FreeSmall(block);
  EXPECT_EQ(hak_shared_pool_read_figures().live_slabs, slabs_before);
  hak_slab_give_word(slab, 0, run.mask);
  hak_shared_pool_release(heap_, slab);
}

TEST_F(Profile, SpansAndWhalesStayAndKnowTheirSample) {
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(8, &zeroed);
  hak_whale* whale = hak_whale_cache_acquire(3072 * kKiB, 64 * kKiB, &zeroed);
  const uint64_t before = All().live_samples;
  EXPECT_EQ(Malloc(span->base, 500 * kKiB), span->base);
  EXPECT_EQ(Malloc(whale->base, 3000 * kKiB), whale->base);
  EXPECT_NE(span->sample, 0u);
  EXPECT_NE(whale->sample, 0u);
  EXPECT_EQ(All().live_samples, before + 2);
  EXPECT_EQ(hak_profile_site_of_for_test(span->base)->live.bytes, 500 * kKiB);
  EXPECT_EQ(hak_profile_site_of_for_test(whale->base)->live.bytes, 3000 * kKiB);

  hak_instrument_on_resize(mode_, span->base, span->base, 500 * kKiB, 510 * kKiB, true);
  EXPECT_EQ(hak_profile_site_of_for_test(span->base)->live.bytes, 510 * kKiB);
  hak_instrument_on_resize(mode_, span->base, span->base, 510 * kKiB, 400 * kKiB, true);
  EXPECT_EQ(hak_profile_site_of_for_test(span->base)->live.bytes, 400 * kKiB);
  EXPECT_EQ(hak_profile_site_of_for_test(span->base)->allocated.bytes, 510 * kKiB) << "what grew was allocated";

  const char* was = whale->base;
  ASSERT_TRUE(hak_whale_cache_resize(whale, 9000 * kKiB));
  hak_instrument_on_resize(mode_, whale->base, was, 3000 * kKiB, 9000 * kKiB, true);
  EXPECT_EQ(hak_profile_site_of_for_test(whale->base)->live.bytes, 9000 * kKiB);
  if (was != whale->base) {
    EXPECT_EQ(hak_profile_site_of_for_test(was), nullptr);
  }

  hak_profile_forget_large(&span->sample);
  hak_profile_forget_large(&whale->sample);
  EXPECT_EQ(span->sample, 0u);
  EXPECT_EQ(whale->sample, 0u);
  EXPECT_EQ(All().live_samples, before);
  hak_shared_pool_release_span(span);
  hak_whale_cache_release(whale, 0);
}

TEST_F(Profile, ALargeBlockMayBeSampledAsItGrows) {
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(8, &zeroed);
  hak_instrument_on_resize(mode_, span->base, span->base, 300 * kKiB, 500 * kKiB, true);
  EXPECT_NE(span->sample, 0u);
  EXPECT_EQ(hak_profile_site_of_for_test(span->base)->live.bytes, 500 * kKiB);
  hak_profile_forget_large(&span->sample);
  hak_shared_pool_release_span(span);
}

__attribute__((noinline)) void* SampleHere(void* block, size_t bytes, uint32_t mode) {
  void* out = hak_instrument_on_malloc(mode, block, bytes);
  __asm__ volatile("" : "+r"(out)); /* no tail call */
  return out;
}
__attribute__((noinline)) void* SampleThere(void* block, size_t bytes, uint32_t mode) {
  void* out = hak_instrument_on_malloc(mode, block, bytes);
  __asm__ volatile("" : "+r"(out));
  return out;
}

TEST_F(Profile, Invariant5ASiteIsAStackAndItsSumsAreThoseOfItsSamples) {
  hak_slab* slab = Slab(0);
  const hak_slab_run run = hak_slab_take_run(slab);
  std::vector<void*> here;
  for (int i = 0; i < 10; i++) here.push_back(SampleHere(run.base, 16, mode_));
  void* there = SampleThere(run.base, 10, mode_);
  const hak_profile_site* site = hak_profile_site_of_for_test(here[0]);
  for (void* block : here) EXPECT_EQ(hak_profile_site_of_for_test(block), site) << "one loop, one stack";
  EXPECT_NE(hak_profile_site_of_for_test(there), site);
  EXPECT_EQ(site->samples, 10u);
  EXPECT_EQ(site->live.bytes, 160u);
  EXPECT_EQ(site->live.blocks, 10u * HAK_PROFILE_WEIGHT_ONE);
  EXPECT_EQ(site->allocated.bytes, 160u);
  EXPECT_GT(site->depth, 3u);
  for (int i = 0; i < 4; i++) FreeSmall(here[i]);
  EXPECT_EQ(site->live.bytes, 96u);
  EXPECT_EQ(site->allocated.bytes, 160u);
  EXPECT_EQ(site->freed_samples, 4u);
  for (int i = 4; i < 10; i++) FreeSmall(here[i]);
  FreeSmall(there);
  EXPECT_EQ(site->live.bytes, 0u);
  EXPECT_EQ(site->live.blocks, 0u);
  hak_slab_give_word(slab, 0, run.mask);
  hak_shared_pool_release(heap_, slab);
}

hak_profile_sum AtPeak(const hak_profile_site* site) {
  return site->peak_at == All().peak_at ? site->peak : site->live;
}

TEST_F(Profile, ThePeakIsThatOfAllSitesTogether) {
  bool zeroed;
  hak_slab* first = hak_shared_pool_acquire_span(20, &zeroed);
  hak_slab* second = hak_shared_pool_acquire_span(30, &zeroed);
  const uint64_t base = All().peak.bytes; /* other tests' */
  SampleHere(first->base, base + 1000 * kKiB, mode_);
  const hak_profile_site* site = hak_profile_site_of_for_test(first->base);
  EXPECT_EQ(AtPeak(site).bytes, base + 1000 * kKiB);
  hak_profile_forget_large(&first->sample);
  EXPECT_EQ(AtPeak(site).bytes, base + 1000 * kKiB) << "past";
  SampleThere(second->base, 500 * kKiB, mode_);
  const hak_profile_site* other = hak_profile_site_of_for_test(second->base);
  EXPECT_EQ(AtPeak(site).bytes, base + 1000 * kKiB);
  EXPECT_EQ(AtPeak(other).bytes, 0u) << "not live at the peak";
  hak_instrument_on_resize(mode_, second->base, second->base, 500 * kKiB, base + 3000 * kKiB, true);
  EXPECT_EQ(AtPeak(site).bytes, 0u) << "a higher peak, without it";
  EXPECT_EQ(AtPeak(other).bytes, base + 3000 * kKiB);
  hak_profile_forget_large(&second->sample);
  hak_shared_pool_release_span(first);
  hak_shared_pool_release_span(second);
}

TEST_F(Profile, WithoutMemoryASampleIsDroppedAndTheBlockIsTheUsualOne) {
  hak_slab* slab = Slab(0);
  const hak_slab_run run = hak_slab_take_run(slab);
  std::vector<void*> sampled;
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  errno = 77;
  const uint64_t before = All().dropped;
  void* block = nullptr;
  for (int i = 0; i < 200000 && block != run.base; i++) { /* until what there was is used up */
    block = Malloc(run.base, 16);
    if (block != run.base) sampled.push_back(block);
  }
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(block, run.base);
  EXPECT_GE(All().dropped, before);
  hak_os_fake_reset();
  for (void* other : sampled) FreeSmall(other);
  hak_slab_give_word(slab, 0, run.mask);
  hak_shared_pool_release(heap_, slab);
}

TEST_F(Profile, SwitchedOffNothingIsSampledAndWhatWasStays) {
  hak_slab* slab = Slab(0);
  const hak_slab_run run = hak_slab_take_run(slab);
  void* block = Malloc(run.base, 16);
  EXPECT_TRUE(hak_profile_is_on());
  hak_profile_end();
  EXPECT_FALSE(hak_profile_is_on());
  EXPECT_EQ(hak_instrument_follow(), 0u);
  EXPECT_NE(hak_profile_site_of_for_test(block), nullptr);
  EXPECT_EQ(FreeSmall(block), run.base);
  hak_profile_begin(1 << 30);
  mode_ = hak_instrument_follow();
  for (int i = 0; i < 100; i++) EXPECT_EQ(Malloc(run.base, 16), run.base) << "the distance is new, too";
  hak_slab_give_word(slab, 0, run.mask);
  hak_shared_pool_release(heap_, slab);
}

// Its address is that of another sample by the time that the profile goes on.
TEST_F(Profile, SwitchedOffASampleStillMovesWithItsBlock) {
  bool zeroed;
  hak_whale* whale = hak_whale_cache_acquire(3072 * kKiB, 64 * kKiB, &zeroed);
  EXPECT_EQ(Malloc(whale->base, 3000 * kKiB), whale->base);
  const uint64_t before = All().live_samples;
  hak_profile_end();
  const uint32_t mode = hak_instrument_follow();
  ASSERT_EQ(mode, 0u);
  const char* was = whale->base;
  hak_os_fake_fail_nth(HAK_OS_FAKE_MREMAP, 1, ENOMEM); /* in place */
  ASSERT_TRUE(hak_whale_cache_resize(whale, 9000 * kKiB));
  ASSERT_NE(whale->base, was);
  hak_instrument_on_resize(mode, whale->base, was, 3000 * kKiB, 9000 * kKiB, true);
  EXPECT_EQ(hak_profile_site_of_for_test(was), nullptr);
  const hak_profile_site* site = hak_profile_site_of_for_test(whale->base);
  ASSERT_NE(site, nullptr);
  EXPECT_EQ(site->live.bytes, 9000 * kKiB);
  hak_slab* span = hak_shared_pool_acquire_span(8, &zeroed);
  hak_instrument_on_resize(mode, span->base, span->base, 300 * kKiB, 500 * kKiB, true);
  EXPECT_EQ(span->sample, 0u) << "what is no sample does not become one";
  EXPECT_EQ(All().live_samples, before);
  hak_profile_forget_large(&whale->sample);
  hak_shared_pool_release_span(span);
  hak_whale_cache_release(whale, 0);
}

// Some thousand samples by three threads, and none is lost.
TEST_F(Profile, ThreadsShareTheTables) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([] {
      hak_heap* heap = hak_heap_acquire(0);
      const uint32_t mode = hak_instrument_follow();
      hak_slab* slab = hak_shared_pool_acquire(heap, 0);
      const hak_slab_run run = hak_slab_take_run(slab);
      void* blocks[32] = {};
      for (unsigned i = 0; i < 1500; i++) {
        void*& block = blocks[i * 7 % 32];
        if (block != nullptr) FreeSmall(block);
        block = hak_instrument_on_malloc(mode, run.base, 16);
        EXPECT_NE(block, run.base);
      }
      for (void* block : blocks) {
        if (block != nullptr) FreeSmall(block);
      }
      hak_slab_give_word(slab, 0, run.mask);
      hak_shared_pool_release(heap, slab);
      hak_heap_park(heap);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(hak_profile_is_valid());
  EXPECT_EQ(All().live_samples, 0u);
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<uint64_t> ReadWords(const std::string& path) {
  const std::string text = ReadText(path);
  std::vector<uint64_t> words(text.size() / 8);
  memcpy(words.data(), text.data(), words.size() * 8);
  return words;
}

TEST_F(Profile, AFileHasAllOfIt) {
  hak_slab* slab = Slab(0);
  const hak_slab_run run = hak_slab_take_run(slab);
  void* block = SampleHere(run.base, 16, mode_);
  const std::string folder = testing::TempDir();
  const std::string path = folder + "/profile_test_%p";
  const std::string name = folder + "/profile_test_" + std::to_string(getpid());
  errno = 77;
  ASSERT_TRUE(hak_profile_save(path.c_str()));
  ASSERT_TRUE(hak_profile_save(path.c_str()));
  EXPECT_FALSE(hak_profile_save("/no/such/folder/file"));
  EXPECT_EQ(errno, 77);
  const std::vector<uint64_t> words = ReadWords(name);
  ASSERT_GT(words.size(), 16u);
  EXPECT_EQ(memcmp(&words[0], "HAKPROF1", 8), 0);
  EXPECT_EQ(words[1], 14u);
  EXPECT_EQ(words[2], static_cast<uint64_t>(getpid()));
  EXPECT_EQ(words[3], 1u) << "the mean distance";
  EXPECT_EQ(words[6], static_cast<uint64_t>(HAK_SIZE_CLASS_COUNT));
  EXPECT_EQ(words[7], All().site_count);
  EXPECT_EQ(words[8], All().sample_count);
  EXPECT_EQ(words[13], All().live.bytes);
  size_t at = 16 + 4 * HAK_SIZE_CLASS_COUNT;
  for (uint64_t i = 0; i < All().site_count; i++) at += 10 + words[at];
  bool found = false;
  for (uint64_t i = 0; i < All().sample_count; i++, at += 9) {
    if (words[at] != reinterpret_cast<uintptr_t>(block)) continue;
    found = true;
    EXPECT_EQ(words[at + 1], 16u);
    EXPECT_EQ(words[at + 6], 1u) << "class 0";
    EXPECT_EQ(words[at + 7], slab->blocks);
    EXPECT_EQ(words[at + 8], hak_slab_free_count(slab));
  }
  EXPECT_TRUE(found);
  const std::string text = ReadText(name);
  EXPECT_EQ(text.substr(text.size() - 5), "\nend\n") << "by which a reader knows that it is whole";
  EXPECT_EQ(ReadWords(name + ".1").size() > 16, true) << "an existing file is left alone";
  remove(name.c_str());
  remove((name + ".1").c_str());
  FreeSmall(block);
  hak_slab_give_word(slab, 0, run.mask);
  hak_shared_pool_release(heap_, slab);
}

__attribute__((noinline)) uint32_t StackOf(uint64_t* frames, bool by_frames) {
  const uint32_t depth = by_frames ? hak_profile_stack_by_frames(frames, 32) : hak_profile_stack(frames, 32);
  __asm__ volatile("");
  return depth;
}

TEST(ProfileStack, HasItsCallers) {
  uint64_t frames[32] = {};
  const uint32_t depth = StackOf(frames, false);
  ASSERT_GT(depth, 3u);
  const auto function = reinterpret_cast<uint64_t>(&StackOf);
  bool found = false;
  for (uint32_t i = 0; i < depth; i++) found = found || frames[i] - function < 256;
  EXPECT_TRUE(found);
  uint64_t few[2];
  EXPECT_LE(hak_profile_stack(few, 2), 2u);
}

TEST(ProfileStack, FramePointersEndWithoutAFault) {
  uint64_t frames[32] = {};
  EXPECT_LE(StackOf(frames, true), 32u);
}

}  // namespace
