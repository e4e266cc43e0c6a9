// Options that say which memory is taken, and when it becomes resident.
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <vector>

#include "hakmem/shared_pool/superslab_inl.h"
#include "hakmem/shared_pool/test_pool.h"
#include "hakmem/size_class/size_class.h"

namespace {

constexpr uint32_t kWhole = HAK_SUPERSLAB_UNITS - 1; /* the longest span */

using PoolOptions = PoolFixture;

size_t ResidentBytes(char* base, size_t bytes) {
  const size_t page_bytes = hak_os_page_bytes();
  std::vector<unsigned char> pages(bytes / page_bytes);
  EXPECT_EQ(mincore(base, bytes, pages.data()), 0);
  size_t resident = 0;
  for (const unsigned char page : pages) resident += (page & 1) * page_bytes;
  return resident;
}

// Two SuperSlabs with room for a unit, dirty in both: that with the lower number is nearly empty, the other nearly full.
// True: the next slab comes from the first.
bool TakesFromTheEmptierOne(std::vector<hak_slab*>* spans) {
  bool zeroed;
  hak_slab* large[2];
  for (uint32_t i = 0; i < 2; i++) {
    large[i] = hak_shared_pool_acquire_span(kWhole - 1 - i, &zeroed);
    spans->push_back(hak_shared_pool_acquire_span(1 + i, &zeroed)); /* that of 2 finds no room in the first */
    EXPECT_EQ(spans->back()->superslab, large[i]->superslab);
  }
  EXPECT_NE(large[0]->superslab, large[1]->superslab);
  hak_slab* last[] = {hak_shared_pool_acquire_span(1, &zeroed), hak_shared_pool_acquire_span(1, &zeroed)};
  EXPECT_NE(last[0]->superslab, last[1]->superslab);
  for (hak_slab* span : last) hak_shared_pool_release_span(span);
  const uint32_t lower = large[0]->superslab->id < large[1]->superslab->id ? 0 : 1;
  hak_superslab* emptier = large[lower]->superslab;
  hak_shared_pool_release_span(large[lower]);
  spans->push_back(large[1 - lower]);
  spans->push_back(hak_shared_pool_acquire_span(1, &zeroed));
  return spans->back()->superslab == emptier;
}

TEST_F(PoolOptions, TiersTakeFromTheFuller) {
  std::vector<hak_slab*> spans;
  EXPECT_FALSE(TakesFromTheEmptierOne(&spans));
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
}

TEST_F(PoolOptions, WithoutTiersTheFirstIsTaken) {
  ASSERT_EQ(hak_config_set("tiers", "0"), 0);
  std::vector<hak_slab*> spans;
  EXPECT_TRUE(TakesFromTheEmptierOne(&spans));
  /* And others where the first has no room. */
  spans.push_back(AcquireSpan(kWhole));
  EXPECT_EQ(Figures().superslabs, 3u);
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
}

TEST_F(PoolOptions, FreshMemoryIsNotThereUnlessAsked) {
  hak_slab* span = AcquireSpan(8);
  EXPECT_EQ(ResidentBytes(span->base, 8 * kUnit), 0u);
  hak_shared_pool_release_span(span);
}

TEST_F(PoolOptions, PrefaultedMemoryIsThereAndZero) {
  if (getenv("HAKMEM_TEST_EMULATOR") != nullptr) GTEST_SKIP() << "under qemu-user: it does not populate memory";
  ASSERT_EQ(hak_config_set("prefault", "1"), 0);
  for (const bool can_populate : {true, false}) {
    if (!can_populate) hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EINVAL); /* a kernel before 5.14 */
    errno = 1234;
    hak_slab* span = AcquireSpan(8);
    EXPECT_EQ(ResidentBytes(span->base, 8 * kUnit), 8 * kUnit);
    EXPECT_TRUE(ReadsAsZero(span->base, 8 * kUnit));
    const uint32_t c = hak_size_class_of(64);
    hak_slab* slab = Acquire(c);
    EXPECT_EQ(ResidentBytes(slab->base, slab->units * kUnit), slab->units * kUnit);
    hak_slab* growing = hak_shared_pool_acquire_growing(2);
    EXPECT_EQ(ResidentBytes(growing->base, 4 * kUnit), 2 * kUnit) << "its room is not";
    EXPECT_EQ(errno, 1234);
    hak_shared_pool_release_span(growing);
    hak_shared_pool_release_span(span);
    Release(slab);
    hak_os_fake_fail_never(HAK_OS_FAKE_MADVISE);
    hak_shared_pool_purge(kStartMs, 0);
  }
}

TEST_F(PoolOptions, PrewarmedMemoryWaits) {
  if (getenv("HAKMEM_TEST_EMULATOR") != nullptr) GTEST_SKIP() << "under qemu-user: it does not populate memory";
  hak_shared_pool_prewarm(kSuperSlab + 3 * kUnit + 1);
  EXPECT_EQ(Figures().superslabs, 2u);
  EXPECT_EQ(Figures().free_units, 2u * HAK_SUPERSLAB_UNITS);
  EXPECT_EQ(Figures().dirty_free_units, 0u);
  /* It neither ages nor is it surplus. */
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 0);
  hak_shared_pool_purge(kStartMs + 3600000, 500);
  hak_shared_pool_purge(kStartMs, 0);
  EXPECT_EQ(Figures().superslabs, 2u);
  const uint64_t mapped = hak_os_fake_mapped_bytes();
  hak_slab* first = AcquireSpan(kWhole);
  hak_slab* second = AcquireSpan(kWhole);
  EXPECT_EQ(hak_os_fake_mapped_bytes(), mapped);
  const size_t resident = ResidentBytes(first->base, kWhole * kUnit) + ResidentBytes(second->base, kWhole * kUnit);
  EXPECT_EQ(resident, kWhole * kUnit + 3 * kUnit + hak_os_page_bytes());
  EXPECT_TRUE(ReadsAsZero(first->base, kWhole * kUnit));
  /* Used and empty they are as any other. */
  hak_shared_pool_release_span(first);
  hak_shared_pool_release_span(second);
  hak_shared_pool_purge(kStartMs, 0);
  EXPECT_EQ(Figures().superslabs, 0u);
}

TEST_F(PoolOptions, PrewarmingEndsWhereThereIsNoMemory) {
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 3, ENOMEM);
  hak_shared_pool_prewarm(uint64_t{1} << 40);
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  const uint64_t superslabs = Figures().superslabs;
  EXPECT_LE(superslabs, 3u);
  for (uint64_t i = 0; i < superslabs; i++) hak_shared_pool_release_span(AcquireSpan(kWhole));
  std::vector<hak_slab*> spans;
  for (uint64_t i = 0; i < superslabs; i++) spans.push_back(AcquireSpan(kWhole));
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
}

}  // namespace
