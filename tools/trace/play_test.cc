/* Traces are played whole, with their threads, in their order, and contents survive. */
#include "tools/trace/play.h"

#include <cstdlib>
#include <random>
#include <vector>

#include "tools/trace/test_file.h"

#include "gtest/gtest.h"

/* Tests that ask for too much get NULL from ThreadSanitizer's malloc too. */
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace {

using trace_test::File;

hak_trace_play_outcome Play(File& file, hak_trace_play_options options) {
  hak_trace_error error = {};
  hak_trace_play_outcome outcome = {};
  hak_trace* trace = hak_trace_load(file.bytes().data(), file.bytes().size(), &error);
  EXPECT_NE(trace, nullptr) << error.text;
  if (trace == nullptr) return outcome;
  EXPECT_TRUE(hak_trace_play(trace, &options, &outcome, &error)) << error.text;
  hak_trace_unload(trace);
  return outcome;
}

/* Every kind of operation once. */
File EveryKind() {
  File file;
  file.Mark(0, 0);
  for (int kind = HAK_TRACE_MALLOC; kind <= HAK_TRACE_PVALLOC; kind++) {
    hak_trace_record record = File::Of(static_cast<hak_trace_kind>(kind));
    if (hak_trace_names_block(record.kind)) continue;
    record.size = 5120; /* a multiple of the alignment, as aligned_alloc may ask for */
    record.count = kind == HAK_TRACE_CALLOC ? 3 : 0;
    record.alignment_log2 = kind >= HAK_TRACE_ALIGNED_ALLOC && kind <= HAK_TRACE_MEMALIGN ? 6 : 0;
    file.Put(0, record);
    record.has_failed = true;
    record.size = SIZE_MAX / 2;
    file.Put(0, record);
  }
  file.Realloc(0, 0, 0, 100000);
  file.Realloc(0, 0, 8, 10);
  hak_trace_record refused = File::Of(HAK_TRACE_REALLOC);
  refused.ordinal = 9;
  refused.size = SIZE_MAX / 2;
  refused.has_failed = true;
  file.Put(0, refused);
  hak_trace_record freed = File::Of(HAK_TRACE_REALLOC_FREED);
  freed.ordinal = 9;
  file.Put(0, freed);
  file.Put(0, File::Of(HAK_TRACE_FREE_NULL));
  for (uint64_t ordinal = 1; ordinal < 8; ordinal++) file.Free(0, 0, ordinal);
  return file;
}

TEST(Play, EveryKind) {
  File file = EveryKind();
  for (const hak_trace_touch touch : {HAK_TRACE_TOUCH_NONE, HAK_TRACE_TOUCH_PAGES, HAK_TRACE_TOUCH_ALL}) {
    const hak_trace_play_outcome outcome = Play(file, {touch, touch == HAK_TRACE_TOUCH_NONE, false});
    EXPECT_EQ(outcome.refused, 0u);
    EXPECT_EQ(outcome.wrong_bytes, 0u);
    EXPECT_EQ(outcome.ops, 28u);
  }
}

TEST(Play, WhatTheAllocatorRefusesIsCounted) {
  File file;
  file.Malloc(0, SIZE_MAX / 2);
  file.Realloc(0, 0, 0, SIZE_MAX / 2);
  file.Free(0, 0, 1);
  EXPECT_EQ(Play(file, {HAK_TRACE_TOUCH_ALL, true, false}).refused, 2u);
}

TEST(Play, Nothing) {
  File file;
  EXPECT_EQ(Play(file, {}).ops, 0u);
}

/* Threads that hand blocks to each other at random. */
File Crowd(uint32_t threads, int steps) {
  File file;
  std::mt19937 random(7);
  std::vector<std::pair<uint32_t, uint64_t>> live;
  std::vector<uint64_t> born(threads, 0);
  uint64_t ticket = 0;
  for (int i = 0; i < steps; i++) {
    const uint32_t thread = static_cast<uint32_t>(random() % threads);
    if (random() % 16 == 0) file.Mark(thread, ticket++);
    if (live.size() < 100 || random() % 2 == 0) {
      file.Malloc(thread, random() % 3000);
      live.emplace_back(thread, born[thread]++);
      continue;
    }
    std::swap(live[random() % live.size()], live.back());
    if (random() % 4 == 0) {
      file.Realloc(thread, live.back().first, live.back().second, random() % 3000);
      live.back() = {thread, born[thread]++};
    } else {
      file.Free(thread, live.back().first, live.back().second);
      live.pop_back();
    }
  }
  file.CloseAll();
  return file;
}

TEST(Play, Crowd) {
  File file = Crowd(8, 20000);
  for (const bool is_loose : {false, true}) {
    const hak_trace_play_outcome outcome = Play(file, {HAK_TRACE_TOUCH_PAGES, true, is_loose});
    EXPECT_EQ(outcome.threads, 8u);
    EXPECT_EQ(outcome.ops, 20000u);
    EXPECT_EQ(outcome.refused, 0u);
    EXPECT_EQ(outcome.wrong_bytes, 0u);
  }
}

/* A thread without a mark has no turn to wait for. */
TEST(Play, ThreadsWithoutMarks) {
  File file;
  file.Mark(0, 0);
  file.Free(0, 1, 0);
  file.Mark(0, 1);
  file.Malloc(1, 8);
  EXPECT_EQ(Play(file, {}).ops, 2u);
}

TEST(Play, MeasuresMemory) {
  File file;
  for (int i = 0; i < 64; i++) file.Malloc(0, 1 << 20);
  const hak_trace_play_outcome outcome = Play(file, {HAK_TRACE_TOUCH_PAGES, false, false});
  EXPECT_GT(outcome.peak_rss_bytes, 60u << 20);
  EXPECT_GT(outcome.end_rss_bytes, 60u << 20);
  EXPECT_GT(outcome.start_cpu_s, 0);
  EXPECT_GT(outcome.cpu_s, 0);
  EXPECT_GE(outcome.page_faults, 1u);
}

TEST(Play, MeasuresWhatIsLeft) {
  if (getenv("HAKMEM_TEST_KEEPS_FREED") != nullptr)
    GTEST_SKIP() << "a sanitizer's malloc keeps what is freed for a while";
  File file;
  for (int i = 0; i < 64; i++) file.Malloc(0, 4 << 20);
  for (int i = 0; i < 64; i++) file.Free(0, 0, i);
  const hak_trace_play_outcome outcome = Play(file, {HAK_TRACE_TOUCH_ALL, false, false});
  EXPECT_GT(outcome.peak_rss_bytes, 250u << 20);
  EXPECT_LT(outcome.end_rss_bytes, 60u << 20);
}

}  // namespace
