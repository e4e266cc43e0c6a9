// Slabs, spans and the stages they come from.
#include "hakmem/shared_pool/shared_pool.h"

#include <errno.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/superslab_inl.h"
#include "hakmem/shared_pool/test_pool.h"

#include "gtest/gtest.h"

namespace {

using SharedPool = PoolFixture;
using SharedPoolDeathTest = PoolFixture;

const uint32_t kOneUnitClass = hak_size_class_of(1024);

std::vector<const char*> UnitsOf(const hak_slab* slab) {
  std::vector<const char*> out;
  for (uint32_t i = 0; i < slab->units; i++) out.push_back(slab->base + i * kUnit);
  return out;
}

void ExpectWords(const hak_slab* slab, uint64_t word) {
  for (const char* unit : UnitsOf(slab)) {
    ASSERT_EQ(hak_registry_word(unit), word);
    ASSERT_EQ(hak_registry_word(unit + kUnit - 1), word);
    ASSERT_TRUE(word == 0 || hak_registry_owner(unit) == slab);
  }
}

TEST_F(SharedPool, SlabsOfEveryClassAreTheirBins) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_slab* slab = Acquire(c);
    ASSERT_NE(slab, nullptr);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(slab->base) % kUnit, 0u);
    ASSERT_EQ(slab->size_class, c);
    ASSERT_TRUE(hak_slab_is_empty(slab));
    ASSERT_FALSE(slab->listed);
    ASSERT_EQ(slab->bin, hak_heap_bin(heap_, c));
    ASSERT_EQ(hak_ptr_load_relaxed(&slab->mailbox), hak_heap_mailbox(heap_, c));
    ExpectWords(slab, reinterpret_cast<uint64_t>(slab->bin));
    ASSERT_EQ(Figures().live_slabs, 1u);
    ASSERT_EQ(Figures().slab_bytes, slab->units * kUnit);
    ASSERT_EQ(Figures().live_bytes, 0u);
    Release(slab);
    ASSERT_EQ(hak_ptr_load_relaxed(&slab->mailbox), nullptr) << "invariant 5";
    ExpectWords(slab, 0); /* invariant 4 */
  }
  EXPECT_EQ(hak_u64_load_relaxed(&heap_->counters.slabs_acquired),
            hak_u64_load_relaxed(&heap_->counters.slabs_released));
}

TEST_F(SharedPool, SpansOfEveryLength) {
  for (uint32_t units = 1; units < HAK_SUPERSLAB_UNITS; units++) {
    bool zeroed = false;
    hak_slab* span = hak_shared_pool_acquire_span(units, &zeroed);
    ASSERT_NE(span, nullptr);
    ASSERT_EQ(span->units, units);
    ExpectWords(span, HAK_REGISTRY_SPAN);
    ASSERT_EQ(Figures().live_spans, 1u);
    ASSERT_EQ(Figures().live_bytes, units * kUnit);
    ASSERT_EQ(Figures().free_units, HAK_SUPERSLAB_UNITS - units);
    hak_shared_pool_release_span(span);
    ExpectWords(span, 0);
  }
}

TEST_F(SharedPool, Invariant1EveryUnitHasOneHolder) {
  std::mt19937 random(3);
  std::set<const char*> held;
  std::vector<hak_slab*> slabs;
  for (int i = 0; i < 400; i++) {
    if (!slabs.empty() && random() % 3 == 0) {
      std::swap(slabs[random() % slabs.size()], slabs.back());
      hak_slab* slab = slabs.back();
      slabs.pop_back();
      for (const char* unit : UnitsOf(slab)) ASSERT_EQ(held.erase(unit), 1u);
      slab->size_class == HAK_SLAB_SPAN ? hak_shared_pool_release_span(slab) : Release(slab);
    } else {
      hak_slab* slab = random() % 2 == 0 ? AcquireSpan(1 + random() % 12) : Acquire(random() % HAK_SIZE_CLASS_COUNT);
      ASSERT_NE(slab, nullptr);
      for (const char* unit : UnitsOf(slab)) ASSERT_TRUE(held.insert(unit).second);
      slabs.push_back(slab);
    }
    const hak_shared_pool_figures now = Figures();
    ASSERT_EQ(now.slab_bytes, held.size() * kUnit);
    ASSERT_EQ(now.free_units + held.size() + 32 * now.empty_superslabs, 32 * now.superslabs);
    ASSERT_EQ(now.live_slabs + now.live_spans, slabs.size());
  }
  for (hak_slab* slab : slabs) slab->size_class == HAK_SLAB_SPAN ? hak_shared_pool_release_span(slab) : Release(slab);
}

// --- stages ---

TEST_F(SharedPool, StagesInTurnNewUnitsEmpty) {
  const hak_shared_pool_figures start = Figures();
  hak_slab* first = Acquire(kOneUnitClass);
  EXPECT_EQ(Figures().from_new, start.from_new + 1);
  hak_slab* second = Acquire(kOneUnitClass);
  EXPECT_EQ(Figures().from_units, start.from_units + 1);
  EXPECT_EQ(second->superslab, first->superslab);
  Release(first);
  Release(second);
  EXPECT_EQ(Figures().empty_superslabs, 1u);
  EXPECT_EQ(Figures().free_units, 0u) << "invariant 6: nobody can claim there";
  first = Acquire(kOneUnitClass);
  EXPECT_EQ(Figures().from_empty, start.from_empty + 1);
  EXPECT_EQ(Figures().empty_superslabs, 0u);
  EXPECT_EQ(Figures().superslabs, 1u);
  EXPECT_EQ(Figures().from_new, start.from_new + 1);
  EXPECT_EQ(Figures().from_orphan, start.from_orphan);
  Release(first);
}

// Heap with a slab of kOneUnitClass that has given out its blocks but for one.
hak_slab* UseAsPartial(hak_heap* heap) {
  hak_slab* slab = hak_shared_pool_acquire(heap, kOneUnitClass);
  hak_bin* bin = hak_heap_bin(heap, kOneUnitClass);
  bin->size_class = static_cast<uint8_t>(kOneUnitClass);
  bin->stride = slab->block_bytes;
  hak_slab_take_run(slab);
  hak_slab_give(slab, 5);
  hak_slab_list_push(&bin->partial, slab);
  return slab;
}

void GiveAllButOne(hak_slab* slab) { hak_slab_give_word(slab, 0, ~0x20ull); }

// While one thread maps a SuperSlab, another finishes with its own: one of the two mappings serves both.
hak_slab* fast_span;
void BeFasterOnce(hak_os_fake_call call, void* base, size_t size_bytes) {
  NoteMetadataChunk(call, base, size_bytes);
  if (call != HAK_OS_FAKE_MMAP || size_bytes != kSuperSlab || fast_span != nullptr) return;
  fast_span = reinterpret_cast<hak_slab*>(1); /* this acquire's own calls come here too */
  bool zeroed;
  fast_span = hak_shared_pool_acquire_span(3, &zeroed);
}

TEST_F(SharedPool, ThreadsThatMissTogetherShareOneMapping) {
  fast_span = nullptr;
  hak_os_fake_set_observer(BeFasterOnce);
  hak_slab* slow_span = AcquireSpan(5);
  ASSERT_NE(slow_span, nullptr);
  ASSERT_NE(fast_span, nullptr);
  EXPECT_EQ(slow_span->superslab, fast_span->superslab);
  EXPECT_EQ(Figures().superslabs, 1u) << "the other one went back";
  EXPECT_EQ(Figures().empty_superslabs, 0u);
  hak_shared_pool_release_span(slow_span);
  hak_shared_pool_release_span(fast_span);
}

TEST_F(SharedPool, AnOrphansPartialSlabComesFirst) {
  hak_heap* orphan = hak_heap_acquire(kHeapLimit);
  hak_slab* partial = UseAsPartial(orphan);
  hak_slab* whole = hak_shared_pool_acquire(orphan, kOneUnitClass);
  hak_heap_park(orphan);
  const hak_shared_pool_figures start = Figures();
  hak_slab* slab = Acquire(kOneUnitClass);
  EXPECT_EQ(slab, partial);
  EXPECT_EQ(hak_slab_free_count(slab), 1u);
  EXPECT_FALSE(slab->listed);
  EXPECT_EQ(hak_heap_bin(orphan, kOneUnitClass)->partial, nullptr);
  EXPECT_EQ(slab->bin, hak_heap_bin(heap_, kOneUnitClass));
  EXPECT_EQ(hak_ptr_load_relaxed(&slab->mailbox), hak_heap_mailbox(heap_, kOneUnitClass));
  ExpectWords(slab, reinterpret_cast<uint64_t>(slab->bin));
  EXPECT_EQ(Figures().from_orphan, start.from_orphan + 1);
  EXPECT_EQ(Figures().from_units, start.from_units);
  EXPECT_EQ(Figures().live_slabs, start.live_slabs);
  /* The orphan has no more: unused units it is. */
  hak_slab* another = Acquire(kOneUnitClass);
  EXPECT_EQ(Figures().from_orphan, start.from_orphan + 1);
  EXPECT_EQ(Figures().from_units, start.from_units + 1);
  GiveAllButOne(slab);
  for (hak_slab* each : {slab, another}) Release(each);
  ASSERT_EQ(hak_heap_acquire(kHeapLimit), orphan);
  hak_shared_pool_release(orphan, whole);
  hak_heap_park(orphan);
}

TEST_F(SharedPool, AnOrphansCurrentSlabIsTakenToo) {
  hak_heap* orphan = hak_heap_acquire(kHeapLimit);
  hak_slab* slab = UseAsPartial(orphan);
  hak_bin* bin = hak_heap_bin(orphan, kOneUnitClass);
  hak_slab_list_remove(&bin->partial, slab);
  bin->current = slab;
  hak_heap_park(orphan);
  EXPECT_EQ(Acquire(kOneUnitClass), slab);
  EXPECT_EQ(bin->current, nullptr);
  GiveAllButOne(slab);
  Release(slab);
}

TEST_F(SharedPool, WhatIsPostedToAnOrphanIsMergedOnTheWay) {
  hak_heap* orphan = hak_heap_acquire(kHeapLimit);
  hak_slab* slab = hak_shared_pool_acquire(orphan, kOneUnitClass);
  hak_heap_bin(orphan, kOneUnitClass)->stride = slab->block_bytes;
  hak_slab_take_run(slab);
  hak_heap_park(orphan);
  EXPECT_EQ(hak_remote_free_publish(slab, 0, 0xff), HAK_REMOTE_FREE_TO_PARKED);
  EXPECT_EQ(Acquire(kOneUnitClass), slab);
  EXPECT_EQ(hak_slab_free_count(slab), 8u);
  hak_slab_give_word(slab, 0, ~0xffull);
  Release(slab);
}

// A block that its owner has and another thread freed too: the next owner of the units must not find it posted.
TEST_F(SharedPool, AFreeThatIsOnItsWayToAnEmptySlabIsReported) {
  hak_slab* slab = Acquire(kOneUnitClass);
  hak_heap_bin(heap_, kOneUnitClass)->stride = slab->block_bytes;
  hak_remote_free_publish(slab, 0, 0x9);
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  Release(slab);
  EXPECT_EQ(hak_misuse_count(), before + 2);
  hak_set_error_action(HAK_ERROR_ABORT);
  EXPECT_EQ(hak_u64_load_relaxed(&slab->remote_bits[0]), 0u);
  EXPECT_EQ(hak_remote_free_drain(heap_, hak_heap_bin(heap_, kOneUnitClass), kOneUnitClass), nullptr);
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 0u);
}

TEST_F(SharedPool, AnOrphanUnderSomebodyElsesHandsIsPassedBy) {
  hak_heap* orphan = hak_heap_acquire(kHeapLimit);
  hak_slab* partial = UseAsPartial(orphan);
  hak_heap_park(orphan);
  hak_lock_take(hak_heap_parked_lock());
  hak_slab* slab = Acquire(kOneUnitClass);
  hak_shared_pool_drain_parked(100); /* nor does this wait */
  hak_lock_give(hak_heap_parked_lock());
  EXPECT_NE(slab, partial);
  Release(slab);
  EXPECT_EQ(Acquire(kOneUnitClass), partial);
  GiveAllButOne(partial);
  Release(partial);
}

TEST_F(SharedPool, OrphansOfOtherClassesAreLeftAlone) {
  hak_heap* orphan = hak_heap_acquire(kHeapLimit);
  hak_slab* partial = UseAsPartial(orphan);
  hak_heap_park(orphan);
  hak_slab* slab = Acquire(kOneUnitClass + 1);
  EXPECT_NE(slab, partial);
  Release(slab);
  partial = Acquire(kOneUnitClass);
  GiveAllButOne(partial);
  Release(partial);
}

TEST_F(SharedPool, TiersHotBeforeDraining) {
  hak_slab* anchors[] = {AcquireSpan(31), AcquireSpan(20), AcquireSpan(16)}; /* 1, 12 and 16 units free */
  ASSERT_EQ(Figures().superslabs, 3u);
  std::vector<hak_slab*> slabs;
  for (int i = 0; i < 13; i++) {
    slabs.push_back(Acquire(kOneUnitClass));
    EXPECT_NE(slabs.back()->superslab, anchors[2]->superslab) << i;
  }
  slabs.push_back(Acquire(kOneUnitClass));
  EXPECT_EQ(slabs.back()->superslab, anchors[2]->superslab);
  EXPECT_EQ(Figures().superslabs, 3u);
  /* One draining SuperSlab left with 16 of 32 free: a longer run than any has needs a new mapping. */
  for (hak_slab* slab : slabs) Release(slab);
  hak_slab* longer = AcquireSpan(17);
  EXPECT_EQ(Figures().superslabs, 4u);
  for (hak_slab* span : anchors) hak_shared_pool_release_span(span);
  hak_shared_pool_release_span(longer);
}

// --- memory that is there before memory that the kernel has yet to supply ---

bool IsDirty(const hak_slab* slab) {
  const uint32_t mask = ((1u << slab->units) - 1) << slab->first_unit;
  return (hak_u32_load_relaxed(&slab->superslab->dirty_units) & mask) == mask;
}

TEST_F(SharedPool, DirtyUnitsComeBeforeCleanOnesOfAFullerSuperSlab) {
  hak_slab* fuller = AcquireSpan(30);
  hak_slab* anchor = AcquireSpan(4);
  hak_slab* gone = AcquireSpan(3); /* the fuller has no run of three */
  const uint32_t unit = gone->first_unit;
  ASSERT_NE(anchor->superslab, fuller->superslab);
  ASSERT_EQ(gone->superslab, anchor->superslab);
  hak_shared_pool_release_span(gone);
  std::vector<hak_slab*> spans = {fuller, anchor};
  for (uint32_t i = 0; i < 3; i++) {
    spans.push_back(AcquireSpan(1));
    EXPECT_EQ(spans.back()->superslab, anchor->superslab);
    EXPECT_EQ(spans.back()->first_unit, unit + i);
    EXPECT_TRUE(IsDirty(spans.back()));
  }
  spans.push_back(AcquireSpan(1));
  EXPECT_EQ(spans.back()->superslab, fuller->superslab) << "none is dirty: the hot tier comes first";
  EXPECT_FALSE(IsDirty(spans.back()));
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
}

TEST_F(SharedPool, ADirtyUnitBehindCleanOnesIsTaken) {
  hak_slab* spans[] = {AcquireSpan(2), AcquireSpan(3), AcquireSpan(4)};
  hak_shared_pool_release_span(spans[1]);
  hak_slab* slab = AcquireSpan(2);
  EXPECT_EQ(slab->first_unit, 2u);
  hak_slab* behind = AcquireSpan(2);
  EXPECT_EQ(behind->first_unit, 9u) << "one dirty unit is no run of two";
  hak_slab* one = AcquireSpan(1);
  EXPECT_EQ(one->first_unit, 4u);
  for (hak_slab* span : {spans[0], spans[2], slab, behind, one}) hak_shared_pool_release_span(span);
}

// Marks of dirty units stay when these are claimed again. A search tries so many SuperSlabs and no more: were stale marks
// never taken away, those of lower ids would hide the unit for ever.
TEST_F(SharedPool, ADirtyUnitBehindStaleMarksIsFoundInTheEnd) {
  constexpr uint32_t kUnits = 21; /* no two in a SuperSlab, and with what is left over it is hot */
  std::vector<hak_slab*> spans;
  for (int i = 0; i < 40; i++) spans.push_back(AcquireSpan(kUnits));
  std::sort(spans.begin(), spans.end(), [](auto* a, auto* b) { return a->superslab->id < b->superslab->id; });
  for (hak_slab* span : spans) ASSERT_TRUE(hak_shared_pool_resize_span(span, kUnits - 1));
  for (size_t i = 0; i + 1 < spans.size(); i++) ASSERT_TRUE(hak_shared_pool_resize_span(spans[i], kUnits));
  ASSERT_EQ(Figures().dirty_free_units, 1u);
  for (int searches = 0; searches < 2; searches++) spans.push_back(AcquireSpan(1));
  EXPECT_EQ(Figures().dirty_free_units, 0u);
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
}

TEST_F(SharedPool, EmptySuperSlabsThatAreDirtyComeBeforeCleanUnits) {
  hak_slab* hot = AcquireSpan(20);
  hak_slab* other = AcquireSpan(20);
  ASSERT_NE(hot->superslab, other->superslab);
  hak_superslab* empty = other->superslab;
  hak_shared_pool_release_span(other);
  ASSERT_EQ(Figures().empty_superslabs, 1u);
  const hak_shared_pool_figures start = Figures();
  hak_slab* slab = AcquireSpan(1);
  EXPECT_EQ(slab->superslab, empty);
  EXPECT_TRUE(IsDirty(slab));
  EXPECT_EQ(Figures().from_empty, start.from_empty + 1);
  hak_slab* rest = AcquireSpan(19);
  EXPECT_TRUE(IsDirty(rest));
  hak_slab* clean = AcquireSpan(1);
  EXPECT_FALSE(IsDirty(clean));
  EXPECT_EQ(Figures().superslabs, 2u);
  for (hak_slab* span : {hot, slab, rest, clean}) hak_shared_pool_release_span(span);
}

TEST_F(SharedPool, APhaseThatComesAgainNeedsNoMoreMemory) {
  const uint64_t purged_bytes = Figures().purged_bytes;
  hak_slab* stays = AcquireSpan(13);
  std::vector<hak_slab*> slabs;
  for (int round = 0; round < 5; round++) {
    for (int i = 0; i < 98; i++) slabs.push_back(AcquireSpan(1));
    for (hak_slab* slab : slabs) {
      EXPECT_EQ(IsDirty(slab), round != 0) << "round " << round;
    }
    for (hak_slab* slab : slabs) hak_shared_pool_release_span(slab);
    slabs.clear();
  }
  EXPECT_EQ(Figures().purged_bytes, purged_bytes);
  hak_shared_pool_release_span(stays);
}

TEST_F(SharedPool, FragmentedUnitsDoNotServeALongerRun) {
  std::vector<hak_slab*> slabs;
  for (int i = 0; i < HAK_SUPERSLAB_UNITS; i++) slabs.push_back(Acquire(kOneUnitClass));
  for (size_t i = 0; i < slabs.size(); i += 2) Release(slabs[i]); /* every second unit */
  EXPECT_EQ(Figures().free_units, 16u);
  hak_slab* span = AcquireSpan(2);
  EXPECT_NE(span->superslab, slabs[1]->superslab);
  hak_slab* fits = AcquireSpan(1);
  EXPECT_EQ(fits->superslab, slabs[1]->superslab);
  for (size_t i = 1; i < slabs.size(); i += 2) Release(slabs[i]);
  hak_shared_pool_release_span(span);
  hak_shared_pool_release_span(fits);
}

TEST_F(SharedPool, WithoutMemoryEverySuperSlabIsLookedAt) {
  std::vector<hak_slab*> spans;
  for (int i = 0; i < 100; i++) spans.push_back(AcquireSpan(HAK_SUPERSLAB_UNITS - 1));
  ASSERT_TRUE(hak_shared_pool_resize_span(spans.back(), HAK_SUPERSLAB_UNITS - 3));
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  hak_slab* last = AcquireSpan(3);
  ASSERT_NE(last, nullptr) << "the units are there, behind many SuperSlabs that have one each";
  EXPECT_EQ(last->superslab, spans.back()->superslab);
  EXPECT_EQ(AcquireSpan(2), nullptr);
  hak_shared_pool_release_span(last);
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
}

// --- spans that grow ---

TEST_F(SharedPool, Invariant7ASpanThatGrowsHasRoom) {
  hak_slab* span = hak_shared_pool_acquire_growing(2);
  ASSERT_NE(span, nullptr);
  EXPECT_EQ(span->units, 2);
  EXPECT_EQ(Figures().room_units, 14u) << "half a SuperSlab";
  EXPECT_EQ(Figures().free_units, 16u);
  ExpectWords(span, HAK_REGISTRY_SPAN);
  EXPECT_EQ(hak_registry_word(span->base + 2 * kUnit), 0u);
  hak_slab* other = AcquireSpan(1);
  EXPECT_EQ(other->first_unit, 16) << "nobody gets what is held";
  ASSERT_TRUE(hak_shared_pool_grow_span(span, 3));
  EXPECT_EQ(span->units, 4) << "twice as long";
  EXPECT_EQ(Figures().room_units, 12u);
  ExpectWords(span, HAK_REGISTRY_SPAN);
  ASSERT_TRUE(hak_shared_pool_grow_span(span, 9));
  EXPECT_EQ(span->units, 9) << "what it needs";
  ASSERT_TRUE(hak_shared_pool_grow_span(span, 10));
  EXPECT_EQ(span->units, 16) << "as far as the room goes";
  EXPECT_EQ(Figures().room_units, 0u);
  EXPECT_FALSE(hak_shared_pool_grow_span(span, 17)) << "another's";
  hak_shared_pool_release_span(other);
  ASSERT_TRUE(hak_shared_pool_grow_span(span, 17));
  EXPECT_EQ(span->units, 17);
  ExpectWords(span, HAK_REGISTRY_SPAN);
  hak_shared_pool_release_span(span);
  ExpectWords(span, 0);
}

TEST_F(SharedPool, ARoomGoesBackWithItsSpan) {
  hak_slab* anchor = AcquireSpan(1);
  hak_slab* span = hak_shared_pool_acquire_growing(1);
  EXPECT_EQ(Figures().room_units, 15u);
  hak_shared_pool_release_span(span);
  EXPECT_EQ(Figures().room_units, 0u);
  EXPECT_EQ(Figures().free_units, 31u);
  EXPECT_EQ(Figures().dirty_free_units, 1u) << "nobody touched the room";
  hak_shared_pool_release_span(anchor);
}

TEST_F(SharedPool, AShorterSpanHasNoRoom) {
  hak_slab* span = hak_shared_pool_acquire_growing(4);
  ASSERT_TRUE(hak_shared_pool_resize_span(span, 3));
  EXPECT_EQ(Figures().room_units, 0u);
  EXPECT_EQ(Figures().free_units, 29u);
  hak_shared_pool_release_span(span);
}

TEST_F(SharedPool, Invariant7RoomGoesToWhoFindsNoOther) {
  hak_slab* span = hak_shared_pool_acquire_growing(1);
  hak_slab* second = hak_shared_pool_acquire_growing(1);
  EXPECT_EQ(Figures().superslabs, 1u);
  hak_slab* wide = AcquireSpan(15);
  EXPECT_EQ(Figures().superslabs, 1u);
  EXPECT_EQ(wide->superslab, span->superslab);
  EXPECT_EQ(Figures().room_units, 0u);
  EXPECT_FALSE(hak_shared_pool_grow_span(span, 2)) << "it may be the other one";
  for (hak_slab* held : {span, second, wide}) hak_shared_pool_release_span(held);
}

TEST_F(SharedPool, OneMoreThatGrowsLeavesTheOthersTheirRoom) {
  std::vector<hak_slab*> spans;
  for (int i = 0; i < 6; i++) spans.push_back(hak_shared_pool_acquire_growing(1));
  EXPECT_EQ(Figures().superslabs, 3u);
  EXPECT_EQ(Figures().room_units, 6u * 15u);
  for (hak_slab* span : spans) EXPECT_TRUE(hak_shared_pool_grow_span(span, 9));
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
}

TEST_F(SharedPool, OfManyThatGrowAFewHaveRoom) {
  constexpr uint32_t kMany = 200;
  constexpr uint32_t kRoom = HAK_SUPERSLAB_UNITS / 2 - 1;
  constexpr uint32_t kFew = 16;
  for (int round = 0; round < 3; round++) {
    std::vector<hak_slab*> spans;
    for (uint32_t i = 0; i < kMany; i++) {
      spans.push_back(hak_shared_pool_acquire_growing(1));
      EXPECT_LE(Figures().room_units, kFew * kRoom);
    }
    EXPECT_LE(Figures().superslabs, kMany / 8) << "two of them in each, if all had room";
    for (uint32_t i = 0; i < 2 * kFew && Figures().room_units != kFew * kRoom; i++) {
      spans.push_back(hak_shared_pool_acquire_growing(1));
    }
    ASSERT_EQ(Figures().room_units, kFew * kRoom);
    // One that has used its room up leaves it to another.
    const auto roomy = std::find_if(spans.begin(), spans.end(),
                                    [](const hak_slab* span) { return hak_u32_load_relaxed(&span->room) != 0; });
    ASSERT_NE(roomy, spans.end());
    ASSERT_TRUE(hak_shared_pool_grow_span(*roomy, HAK_SUPERSLAB_UNITS / 2));
    EXPECT_EQ(Figures().room_units, (kFew - 1) * kRoom);
    spans.push_back(hak_shared_pool_acquire_growing(1));
    EXPECT_EQ(Figures().room_units, kFew * kRoom);
    for (hak_slab* span : spans) hak_shared_pool_release_span(span);
    EXPECT_EQ(Figures().room_units, 0u);
  }
}

TEST_F(SharedPool, LongSpansHaveAWholeSuperSlabAndNoneIsTooLong) {
  for (const uint32_t units : {16u, 17u, 30u, 31u}) {
    hak_slab* span = hak_shared_pool_acquire_growing(units);
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(span->units, units);
    EXPECT_EQ(Figures().room_units, units <= 16 ? 0 : 31 - units);
    EXPECT_FALSE(hak_shared_pool_grow_span(span, 33));
    hak_shared_pool_release_span(span);
  }
}

TEST_F(SharedPool, TimeTakesTheRoomAway) {
  hak_slab* span = hak_shared_pool_acquire_growing(1);
  hak_shared_pool_purge(1000, 500);
  EXPECT_EQ(Figures().room_units, 0u);
  EXPECT_EQ(Figures().free_units, 31u);
  EXPECT_TRUE(hak_shared_pool_grow_span(span, 4)) << "where it is free it grows all the same";
  hak_shared_pool_release_span(span);
}

// --- resizing spans ---

TEST_F(SharedPool, ASpanGrowsAndShrinksWhereItLies) {
  hak_slab* span = AcquireSpan(4);
  char* base = span->base;
  Fill(base, 4 * kUnit);
  ASSERT_TRUE(hak_shared_pool_resize_span(span, 31));
  EXPECT_EQ(span->base, base);
  EXPECT_EQ(span->units, 31);
  EXPECT_EQ(span->block_bytes, 31 * kUnit);
  ExpectWords(span, HAK_REGISTRY_SPAN);
  EXPECT_EQ(Figures().free_units, 1u);
  EXPECT_TRUE(ReadsAsZero(base + 4 * kUnit, 27 * kUnit));
  ASSERT_TRUE(hak_shared_pool_resize_span(span, 2));
  EXPECT_EQ(span->units, 2);
  ExpectWords(span, HAK_REGISTRY_SPAN);
  EXPECT_EQ(hak_registry_word(base + 2 * kUnit), 0u);
  EXPECT_EQ(hak_registry_word(base + 30 * kUnit), 0u);
  EXPECT_EQ(Figures().free_units, 30u);
  EXPECT_EQ(Figures().live_bytes, 2 * kUnit);
  EXPECT_TRUE(std::all_of(base, base + 2 * kUnit, [](char c) { return c == 0x5a; }));
  EXPECT_TRUE(hak_shared_pool_resize_span(span, 2));
  EXPECT_EQ(Figures().free_units, 30u);
  hak_shared_pool_release_span(span);
}

TEST_F(SharedPool, ASpanDoesNotGrowOverItsNeighbour) {
  hak_slab* span = AcquireSpan(4);
  hak_slab* neighbour = AcquireSpan(4);
  ASSERT_EQ(neighbour->base, span->base + 4 * kUnit);
  EXPECT_FALSE(hak_shared_pool_resize_span(span, 5));
  EXPECT_EQ(span->units, 4);
  ExpectWords(neighbour, HAK_REGISTRY_SPAN);
  EXPECT_EQ(Figures().free_units, 24u);
  hak_shared_pool_release_span(neighbour);
  neighbour = AcquireSpan(1);
  ASSERT_EQ(neighbour->base, span->base + 4 * kUnit);
  EXPECT_FALSE(hak_shared_pool_resize_span(span, 8)) << "free but for the first";
  EXPECT_EQ(Figures().free_units, 27u);
  hak_shared_pool_release_span(neighbour);
  EXPECT_TRUE(hak_shared_pool_resize_span(span, 8));
  hak_shared_pool_release_span(span);
}

TEST_F(SharedPool, ASpanEndsWithItsSuperSlab) {
  hak_slab* front = AcquireSpan(20);
  hak_slab* span = AcquireSpan(4);
  ASSERT_EQ(span->first_unit, 20);
  EXPECT_FALSE(hak_shared_pool_resize_span(span, 13));
  EXPECT_TRUE(hak_shared_pool_resize_span(span, 12));
  EXPECT_EQ(Figures().free_units, 0u);
  EXPECT_FALSE(hak_shared_pool_resize_span(span, 31));
  hak_shared_pool_release_span(front);
  EXPECT_FALSE(hak_shared_pool_resize_span(span, 31)) << "only what follows counts";
  hak_shared_pool_release_span(span);
}

// --- parked heaps ---

TEST_F(SharedPool, DrainReleasesWhatIsEmptyInParkedHeaps) {
  hak_heap* orphan = hak_heap_acquire(kHeapLimit);
  hak_slab* full = hak_shared_pool_acquire(orphan, kOneUnitClass);
  hak_slab* current = hak_shared_pool_acquire(orphan, kOneUnitClass);
  hak_slab* partial = hak_shared_pool_acquire(orphan, kOneUnitClass);
  hak_bin* bin = hak_heap_bin(orphan, kOneUnitClass);
  bin->stride = full->block_bytes;
  bin->current = current;
  for (hak_slab* slab : {full, current, partial}) hak_slab_take_run(slab);
  hak_heap_park(orphan);
  hak_remote_free_publish(full, 0, ~0ull);
  hak_remote_free_publish(current, 0, ~0ull);
  hak_remote_free_publish(partial, 0, 1);
  hak_shared_pool_drain_parked(1);
  EXPECT_EQ(Figures().live_slabs, 1u);
  EXPECT_EQ(bin->current, nullptr);
  EXPECT_EQ(bin->partial, partial);
  EXPECT_EQ(hak_slab_free_count(partial), 1u);
  hak_remote_free_publish(partial, 0, ~1ull);
  hak_shared_pool_drain_parked(1);
  EXPECT_EQ(Figures().live_slabs, 0u);
  EXPECT_EQ(bin->partial, nullptr);
}

TEST_F(SharedPool, AnAdoptionReleasesWhatIsEmpty) {
  hak_heap* orphan = hak_heap_acquire(kHeapLimit);
  hak_slab* emptied = hak_shared_pool_acquire(orphan, kOneUnitClass);
  hak_slab* partial = hak_shared_pool_acquire(orphan, kOneUnitClass);
  hak_heap_bin(orphan, kOneUnitClass)->stride = emptied->block_bytes;
  for (hak_slab* slab : {emptied, partial}) hak_slab_take_run(slab);
  hak_heap* heap = hak_heap_acquire(kHeapLimit); /* before: it would take the orphan whole */
  hak_heap_park(orphan);
  hak_remote_free_publish(emptied, 0, ~0ull);
  hak_remote_free_publish(partial, 0, 1);
  EXPECT_EQ(hak_shared_pool_acquire(heap, kOneUnitClass), partial);
  EXPECT_EQ(Figures().live_slabs, 1u);
  hak_slab_give_word(partial, 0, ~1ull);
  hak_shared_pool_release(heap, partial);
  hak_heap_park(heap);
}

TEST_F(SharedPool, DrainGoesRoundTheParkedHeaps) {
  std::vector<hak_heap*> heaps;
  for (int i = 0; i < 3; i++) heaps.push_back(hak_heap_acquire(kHeapLimit));
  for (hak_heap* heap : heaps) {
    hak_slab* slab = hak_shared_pool_acquire(heap, kOneUnitClass);
    hak_heap_bin(heap, kOneUnitClass)->stride = slab->block_bytes;
    hak_slab_take_run(slab);
    hak_slab_give_word(slab, 0, 1); /* else an acquire may take it */
    hak_remote_free_publish(slab, 0, ~1ull);
  }
  for (hak_heap* heap : heaps) hak_heap_park(heap); /* all slabs acquired: an acquire looks at parked heaps */
  const uint32_t parked = hak_heap_parked_count();
  ASSERT_GE(parked, 3u);
  hak_shared_pool_drain_parked(0);
  EXPECT_EQ(Figures().live_slabs, 3u);
  for (uint32_t i = 0; i < parked + 1; i++) hak_shared_pool_drain_parked(1); /* once more: it may begin amid the list */
  for (uint32_t i = 0; i < parked; i++) hak_shared_pool_drain_parked(1);
  EXPECT_EQ(Figures().live_slabs, 0u);
}

// --- slabs that others have freed whole, of owners that sleep ---

// A slab of `owner`'s, every block of which is out.
hak_slab* TakenSlab(hak_heap* owner) {
  hak_slab* slab = hak_shared_pool_acquire(owner, kOneUnitClass);
  while (hak_slab_free_count(slab) != 0) hak_slab_take_run(slab);
  return slab;
}

TEST_F(SharedPool, AnAcquireTakesWhatOthersHaveFreedWhole) {
  hak_heap* sleeper = hak_heap_acquire(kHeapLimit);
  hak_slab* slab = TakenSlab(sleeper);
  hak_slab* kept = TakenSlab(sleeper);
  const uint64_t complete_before = Figures().complete;
  const uint64_t blocks_before = Figures().complete_blocks;
  hak_remote_free_publish(slab, 0, ~0ull);
  hak_remote_free_publish(kept, 0, ~1ull);
  EXPECT_EQ(Acquire(kOneUnitClass), slab) << "the lowest free unit";
  EXPECT_EQ(Figures().complete, complete_before + 1);
  EXPECT_EQ(Figures().complete_blocks, blocks_before + 64);
  EXPECT_EQ(hak_registry_word(slab->base), reinterpret_cast<uint64_t>(hak_heap_bin(heap_, kOneUnitClass)));
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 0u);
  EXPECT_TRUE(hak_slab_is_empty(slab));
  EXPECT_TRUE(hak_remote_free_is_posted(hak_heap_mailbox(sleeper, kOneUnitClass))) << "the other one stays";
  EXPECT_EQ(hak_ptr_load_relaxed(&kept->mailbox), hak_heap_mailbox(sleeper, kOneUnitClass));
  Release(slab);
  hak_remote_free_publish(kept, 0, 1);
  hak_shared_pool_drain_complete();
  EXPECT_EQ(Figures().live_slabs, 0u);
  EXPECT_FALSE(hak_remote_free_is_posted(hak_heap_mailbox(sleeper, kOneUnitClass)));
  hak_heap_park(sleeper);
}

TEST_F(SharedPool, EveryClassIsTakenWhole) {
  hak_heap* sleeper = hak_heap_acquire(kHeapLimit);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_slab* slab = hak_shared_pool_acquire(sleeper, c);
    ASSERT_NE(slab, nullptr);
    while (hak_slab_free_count(slab) != 0) hak_slab_take_run(slab);
    for (uint32_t first = 0; first < slab->blocks; first += 64) {
      hak_shared_pool_drain_complete();
      ASSERT_NE(hak_ptr_load_relaxed(&slab->mailbox), nullptr) << c << ": blocks are out";
      const uint32_t left = slab->blocks - first;
      hak_remote_free_publish(slab, first / 64, left >= 64 ? ~0ull : (1ull << left) - 1);
    }
    hak_shared_pool_drain_complete();
    EXPECT_EQ(Figures().live_slabs, 0u) << c;
  }
  hak_heap_park(sleeper);
}

TEST_F(SharedPool, ACompleteSlabDeepInAMailboxIsItsOwners) {
  hak_heap* sleeper = hak_heap_acquire(kHeapLimit);
  std::vector<hak_slab*> slabs;
  for (int i = 0; i < 65; i++) slabs.push_back(TakenSlab(sleeper));
  hak_remote_free_publish(slabs[0], 0, ~0ull);
  for (int i = 1; i < 65; i++) hak_remote_free_publish(slabs[i], 0, 1);
  hak_shared_pool_drain_complete();
  EXPECT_EQ(Figures().live_slabs, 65u);
  hak_bin* bin = hak_heap_bin(sleeper, kOneUnitClass);
  EXPECT_EQ(hak_remote_free_drain(sleeper, bin, kOneUnitClass), slabs[0]) << "all are still posted";
  Release(slabs[0]);
  for (int i = 1; i < 65; i++) {
    EXPECT_EQ(hak_slab_free_count(slabs[i]), 1u) << i;
    hak_slab_list_remove(&bin->partial, slabs[i]);
    hak_slab_give_word(slabs[i], 0, ~1ull);
    Release(slabs[i]);
  }
  hak_heap_park(sleeper);
}

TEST_F(SharedPool, NothingIsTakenFromAnOwnerWhoMerges) {
  hak_heap* owner = hak_heap_acquire(kHeapLimit);
  hak_slab* slab = TakenSlab(owner);
  hak_remote_free_publish(slab, 0, ~0ull);
  hak_u32_store_relaxed(&owner->is_draining, 1);
  hak_shared_pool_drain_complete();
  EXPECT_EQ(Figures().live_slabs, 1u);
  hak_u32_store_relaxed(&owner->is_draining, 0);
  hak_slab* empty = hak_remote_free_drain(owner, hak_heap_bin(owner, kOneUnitClass), kOneUnitClass);
  EXPECT_EQ(empty, slab);
  Release(empty);
  hak_heap_park(owner);
}

// Freed by its owner and from afar: that the owner's lists have the slab is what counts.
TEST_F(SharedPool, NothingIsTakenThatItsOwnerHasBlocksOf) {
  hak_heap* owner = hak_heap_acquire(kHeapLimit);
  hak_slab* slab = TakenSlab(owner);
  hak_bin* bin = hak_heap_bin(owner, kOneUnitClass);
  ASSERT_TRUE(hak_slab_give(slab, 5));
  hak_slab_list_push(&bin->partial, slab);
  hak_remote_free_publish(slab, 0, ~0ull);
  hak_slab* other = Acquire(kOneUnitClass);
  EXPECT_NE(other, slab);
  hak_shared_pool_drain_complete();
  EXPECT_EQ(slab->bin, bin);
  EXPECT_EQ(bin->partial, slab);
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  EXPECT_EQ(hak_remote_free_drain(owner, bin, kOneUnitClass), slab) << "every block is free now";
  EXPECT_EQ(hak_misuse_count(), before + 1);
  hak_set_error_action(HAK_ERROR_ABORT);
  for (hak_slab* each : {slab, other}) Release(each);
  hak_heap_park(owner);
}

// --- figures ---

TEST_F(SharedPool, CountsClassesAndTakenBlocks) {
  uint64_t slabs[HAK_SIZE_CLASS_COUNT] = {};
  uint64_t taken[HAK_SIZE_CLASS_COUNT] = {};
  slabs[3] = 100; /* added to */
  hak_slab* first = Acquire(3);
  hak_slab* second = Acquire(3);
  hak_slab* third = Acquire(HAK_SIZE_CLASS_COUNT - 1);
  hak_slab* span = AcquireSpan(5);
  hak_slab_take_run(first);
  hak_shared_pool_count_classes(slabs, taken);
  EXPECT_EQ(slabs[3], 102u);
  EXPECT_EQ(taken[3], 64u);
  EXPECT_EQ(slabs[HAK_SIZE_CLASS_COUNT - 1], 1u);
  EXPECT_EQ(taken[HAK_SIZE_CLASS_COUNT - 1], 0u);
  EXPECT_EQ(Figures().live_bytes, 64 * 64 + 5 * kUnit);
  hak_slab_give_word(first, 0, ~0ull);
  for (hak_slab* slab : {first, second, third}) Release(slab);
  hak_shared_pool_release_span(span);
}

TEST_F(SharedPoolDeathTest, ASlabIsReleasedWholeAndOnce) {
  if (HAK_CONFIG_LEVEL < 1) GTEST_SKIP() << "asserted in debug builds only";
  hak_slab* slab = Acquire(kOneUnitClass);
  hak_slab_take_run(slab);
  EXPECT_DEATH(Release(slab), "broken invariant");
  hak_slab_give_word(slab, 0, ~0ull);
  Release(slab);
}

TEST_F(SharedPoolDeathTest, FreeingUnitsTwiceIsABrokenInvariant) {
  hak_slab* anchor = Acquire(kOneUnitClass);
  hak_slab* span = AcquireSpan(2);
  hak_shared_pool_release_span(span);
  EXPECT_DEATH(hak_shared_pool_release_span(span), "broken invariant");
  Release(anchor);
}

}  // namespace
