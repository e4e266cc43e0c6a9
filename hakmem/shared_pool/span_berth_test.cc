// A span that its thread has freed waits for it beside the pool, as long as it may lie idle.
#include "hakmem/heap/heap.h"
#include "hakmem/heap/test_berth.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/test_pool.h"

namespace {

class Spans : public AnchoredPoolFixture {
 protected:
  static constexpr uint32_t kSize = 3;
  static constexpr uint64_t kLiveWord = HAK_REGISTRY_SPAN;

  static hak_slab* Acquire(uint32_t units) { return AcquireSpan(units); }
  static void Release(hak_slab* span, uint64_t /*now_ms*/ = 0) { hak_shared_pool_release_span(span); }
  static uint32_t TryPark(hak_slab* span, hak_heap* heap) { return hak_shared_pool_try_park_span(span, heap); }
  static hak_slab* Unpark(hak_heap* heap, uint32_t units) { return hak_shared_pool_unpark_span(heap, units, false); }
  static void Purge(uint64_t now_ms, uint64_t decay_ms) { hak_shared_pool_purge(kStartMs + now_ms, decay_ms); }

  static uint64_t Word(const hak_slab* span) { return hak_registry_word(span->base); }
};
INSTANTIATE_TYPED_TEST_SUITE_P(OfSpans, Berth, Spans);

using SpanBerth = Berth<Spans>;

TEST_F(SpanBerth, WhatMayLieIdleIsParkedAndTakenAgain) {
  hak_slab* span = AcquireSpan(8);
  EXPECT_EQ(hak_shared_pool_try_park_span(span, Heap(0)), 0u) << "nobody has said that it may lie idle";
  hak_shared_pool_release_span(span);
  span = Reused(8);
  const hak_shared_pool_figures before = Figures();
  ASSERT_NE(hak_shared_pool_try_park_span(span, Heap(0)), 0u);
  EXPECT_EQ(Word(span), uint64_t{HAK_REGISTRY_NONE}) << "to free it again is misuse";
  EXPECT_EQ(hak_registry_owner(span->base + kUnit), span);
  EXPECT_EQ(Figures().live_spans, before.live_spans - 1);
  EXPECT_EQ(Figures().span_bytes, before.span_bytes - 8 * kUnit);
  EXPECT_EQ(Figures().slab_bytes, before.slab_bytes - 8 * kUnit);
  EXPECT_EQ(Figures().live_bytes, before.live_bytes - 8 * kUnit);
  EXPECT_EQ(Figures().free_units, before.free_units + 8);
  EXPECT_EQ(Figures().dirty_free_units, before.dirty_free_units + 8);
  EXPECT_TRUE(hak_shared_pool_has_dirty());
  EXPECT_EQ(hak_shared_pool_unpark_span(Heap(1), 8, false), nullptr) << "another's";
  EXPECT_EQ(hak_shared_pool_unpark_span(Heap(0), 9, false), nullptr) << "too short";
  EXPECT_EQ(hak_shared_pool_unpark_span(Heap(0), 7, false), nullptr) << "too long";
  EXPECT_EQ(hak_shared_pool_unpark_span(Heap(0), 8, true), nullptr) << "it does not grow";
  ASSERT_EQ(hak_shared_pool_unpark_span(Heap(0), 8, false), span);
  EXPECT_EQ(Word(span), uint64_t{HAK_REGISTRY_SPAN});
  EXPECT_EQ(hak_registry_owner(span->base), span);
  EXPECT_EQ(Figures().live_spans, before.live_spans);
  EXPECT_EQ(Figures().free_units, before.free_units);
  EXPECT_EQ(hak_shared_pool_unpark_span(Heap(0), 8, false), nullptr);
  EXPECT_NE(hak_shared_pool_try_park_span(span, Heap(0)), 0u) << "and once more";
}

// Of eight units four have been used: the others have never been let lie idle.
TEST_F(SpanBerth, WhatIsNewInPartIsNotParked) {
  hak_slab* span = AcquireSpan(4);
  hak_shared_pool_release_span(span);
  ASSERT_EQ(AcquireSpan(8), span);
  EXPECT_EQ(hak_shared_pool_try_park_span(span, Heap(0)), 0u);
  hak_shared_pool_release_span(span);
  span = hak_shared_pool_acquire_growing(9);
  span->asked_bytes = 9 * kUnit;
  EXPECT_EQ(hak_shared_pool_try_park_span(span, Heap(0)), 0u);
  hak_shared_pool_release_span(span);
}

TEST_F(SpanBerth, APurgeReleasesIt) {
  hak_slab* span = Reused(4);
  char* base = span->base;
  ASSERT_NE(hak_shared_pool_try_park_span(span, Heap(0)), 0u);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs, 500), 0u) << "its decay begins now";
  EXPECT_EQ(hak_shared_pool_unpark_span(Heap(0), 4, false), nullptr);
  EXPECT_EQ(Figures().free_units, HAK_SUPERSLAB_UNITS - 1u);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs + 499, 500), 0u);
  EXPECT_EQ(hak_shared_pool_purge(kStartMs + 500, 500), 4 * kUnit);
  EXPECT_TRUE(ReadsAsZero(base, 4 * kUnit));
}

TEST_F(SpanBerth, OfAnotherLengthASpanIsANewOne) {
  hak_slab* span = Reused(4);
  ASSERT_TRUE(hak_shared_pool_resize_span(span, 5));
  EXPECT_EQ(hak_shared_pool_try_park_span(span, Heap(0)), 0u);
  hak_shared_pool_release_span(span);
  span = Reused(4);
  ASSERT_TRUE(hak_shared_pool_resize_span(span, 3));
  EXPECT_EQ(hak_shared_pool_try_park_span(span, Heap(0)), 0u);
  hak_shared_pool_release_span(span);
}

// One that grew within what it had from the beginning has had no unit that did not lie idle before.
TEST_F(SpanBerth, OneThatGrowsKeepsItsRoom) {
  hak_slab* span = hak_shared_pool_acquire_growing(4);
  ASSERT_TRUE(hak_shared_pool_grow_span(span, 5));
  span->asked_bytes = 5 * kUnit;
  EXPECT_EQ(hak_shared_pool_try_park_span(span, Heap(0)), 0u);
  const uint32_t units = span->units;
  hak_shared_pool_release_span(span);
  span = hak_shared_pool_acquire_growing(units);
  span->asked_bytes = 4 * kUnit;
  const uint64_t room_units = Figures().room_units;
  ASSERT_NE(room_units, 0u);
  ASSERT_NE(hak_shared_pool_try_park_span(span, Heap(0)), 0u);
  EXPECT_EQ(Figures().room_units, room_units);
  EXPECT_EQ(hak_shared_pool_unpark_span(Heap(0), units, false), nullptr) << "room would be held for nothing";
  ASSERT_EQ(hak_shared_pool_unpark_span(Heap(0), units, true), span);
  EXPECT_TRUE(hak_shared_pool_grow_span(span, units + 1));
  hak_shared_pool_release_span(span);
  EXPECT_EQ(Figures().room_units, 0u);
}

}  // namespace
