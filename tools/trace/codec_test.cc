/* Records to bytes and back: the same, in as few bytes as promised. */
#include "tools/trace/codec.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace {

hak_trace_context Fresh(uint32_t thread, uint64_t born) {
  hak_trace_context context;
  hak_trace_context_reset(&context, thread, born);
  return context;
}

hak_trace_record Of(hak_trace_kind kind, uint64_t size = 0) {
  hak_trace_record record = {};
  record.kind = kind;
  record.size = size;
  return record;
}

hak_trace_record Free(uint32_t thread, uint64_t ordinal) {
  hak_trace_record record = Of(HAK_TRACE_FREE);
  record.thread = thread;
  record.ordinal = ordinal;
  return record;
}

void ExpectSame(const hak_trace_record& left, const hak_trace_record& right) {
  EXPECT_EQ(left.kind, right.kind);
  EXPECT_EQ(left.has_failed, right.has_failed);
  EXPECT_EQ(left.alignment_log2, right.alignment_log2);
  EXPECT_EQ(left.thread, right.thread);
  EXPECT_EQ(left.ordinal, right.ordinal);
  EXPECT_EQ(left.count, right.count);
  EXPECT_EQ(left.size, right.size);
  EXPECT_EQ(left.ticket, right.ticket);
  EXPECT_EQ(left.time_us, right.time_us);
}

/* Bytes that the record takes; it is read back. */
size_t RoundTrip(hak_trace_context* writer, hak_trace_context* reader, const hak_trace_record& record) {
  uint8_t bytes[HAK_TRACE_RECORD_BYTES_MAX] = {};
  const uint8_t* end = hak_trace_put(writer, bytes, &record);
  EXPECT_LE(end - bytes, HAK_TRACE_RECORD_BYTES_MAX);
  EXPECT_NE(bytes[0], HAK_TRACE_CODE_END);
  hak_trace_record back;
  const hak_trace_context before = *reader;
  EXPECT_EQ(hak_trace_get(reader, bytes, end, &back), end);
  ExpectSame(record, back);
  EXPECT_EQ(writer->born, reader->born);
  /* Cut off anywhere it is no record. */
  for (const uint8_t* cut = bytes + 1; cut < end; cut++) {
    hak_trace_context context = before;
    EXPECT_EQ(hak_trace_get(&context, bytes, cut, &back), nullptr);
  }
  return static_cast<size_t>(end - bytes);
}

TEST(Codec, UsualRecordsTakeFewBytes) {
  hak_trace_context writer = Fresh(3, 0);
  hak_trace_context reader = Fresh(3, 0);
  EXPECT_EQ(RoundTrip(&writer, &reader, Of(HAK_TRACE_MALLOC, 24)), 2u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Of(HAK_TRACE_MALLOC, 24)), 1u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Of(HAK_TRACE_MALLOC, 0)), 2u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Of(HAK_TRACE_MALLOC, 16383)), 2u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Of(HAK_TRACE_MALLOC, 16384)), 4u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Free(3, 4)), 1u);
  for (int i = 0; i < 100; i++) RoundTrip(&writer, &reader, Of(HAK_TRACE_MALLOC, 8));
  EXPECT_EQ(RoundTrip(&writer, &reader, Free(3, 105 - HAK_TRACE_NEAR)), 1u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Free(3, 0)), 2u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Free(1, 17)), 3u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Free(1, 18)), 2u);
  EXPECT_EQ(RoundTrip(&writer, &reader, Of(HAK_TRACE_FREE_NULL)), 1u);
}

TEST(Codec, FarBlocks) {
  hak_trace_context writer = Fresh(0, UINT64_C(1) << 40);
  hak_trace_context reader = Fresh(0, UINT64_C(1) << 40);
  for (int distance : {HAK_TRACE_NEAR - 1, int{HAK_TRACE_NEAR}, HAK_TRACE_NEAR + HAK_TRACE_SHORT - 1,
                       HAK_TRACE_NEAR + HAK_TRACE_SHORT, 1 << 30}) {
    RoundTrip(&writer, &reader, Free(0, (UINT64_C(1) << 40) - 1 - static_cast<uint64_t>(distance)));
  }
}

TEST(Codec, AnyRecord) {
  std::mt19937_64 random(1);
  hak_trace_context writer = Fresh(1, 1000);
  hak_trace_context reader = Fresh(1, 1000);
  for (int i = 0; i < 200000; i++) {
    hak_trace_record record = Of(static_cast<hak_trace_kind>(random() % HAK_TRACE_KINDS));
    const uint64_t number = random() >> random() % 64;
    if (hak_trace_names_block(record.kind)) {
      record.thread = static_cast<uint32_t>(random() % 4);
      record.ordinal = record.thread == 1 ? number % writer.born : number;
    }
    if (hak_trace_makes_block(record.kind, false)) {
      record.size = random() >> random() % 64;
      record.has_failed = random() % 8 == 0;
    }
    if (record.kind == HAK_TRACE_CALLOC) record.count = number;
    if (record.kind >= HAK_TRACE_ALIGNED_ALLOC && record.kind <= HAK_TRACE_MEMALIGN)
      record.alignment_log2 = number % 64;
    if (record.kind == HAK_TRACE_MARK) {
      record.ticket = random();
      record.time_us = number;
    }
    RoundTrip(&writer, &reader, record);
    if (HasFailure()) return;
  }
}

TEST(Codec, WhatIsNoRecord) {
  const std::vector<std::vector<uint8_t>> wrong = {
      {0x11},                        /* no such code */
      {0x7d},                        /* nor this */
      {HAK_TRACE_CODE_FREE_NEAR},    /* no block yet */
      {HAK_TRACE_CODE_RECENT},       /* no size at that place */
      {HAK_TRACE_CODE_FAILED, 0x0f}, /* free cannot fail */
      {HAK_TRACE_CODE_FAILED, 0x02}, /* nor can failing */
      {HAK_TRACE_CODE_MEMALIGN, 64, 1},
      {HAK_TRACE_CODE_FREE_OTHER, 5, 0}, /* its own, in the form of another's */
      {HAK_TRACE_CODE_MALLOC, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}};
  for (const std::vector<uint8_t>& bytes : wrong) {
    hak_trace_context context = Fresh(5, 0);
    hak_trace_record record;
    EXPECT_EQ(hak_trace_get(&context, bytes.data(), bytes.data() + bytes.size(), &record), nullptr) << int{bytes[0]};
  }
}

}  // namespace
