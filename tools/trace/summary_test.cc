/* The figures of traces whose figures are known. */
#include "tools/trace/summary.h"

#include "tools/trace/test_file.h"

#include "gtest/gtest.h"

namespace {

using trace_test::File;

TEST(Summary, Places) {
  EXPECT_EQ(hak_trace_place(0), 0u);
  EXPECT_EQ(hak_trace_place(1), 1u);
  EXPECT_EQ(hak_trace_place(127), 7u);
  EXPECT_EQ(hak_trace_place(128), 8u);
  EXPECT_EQ(hak_trace_place(UINT64_MAX), 64u);
}

TEST(Summary, Counts) {
  File file;
  file.Mark(0, 0);
  file.Malloc(0, 100);         /* 0 */
  file.Malloc(0, 28);          /* 1 */
  file.Realloc(0, 0, 1, 50);   /* 2 */
  file.Realloc(0, 0, 2, 1000); /* 3: the peak, 1100 */
  file.Realloc(0, 0, 3, 10);   /* 4 */
  file.Free(0, 0, 4);
  hak_trace_record refused = File::Of(HAK_TRACE_MALLOC);
  refused.size = UINT64_MAX;
  refused.has_failed = true;
  file.Put(0, refused);
  file.Mark(1, 1, 5000);
  file.Free(1, 0, 0);
  hak_trace_record zeroed = File::Of(HAK_TRACE_CALLOC);
  zeroed.count = 3;
  zeroed.size = 7;
  file.Put(1, zeroed);
  hak_trace_error error;
  hak_trace* trace = hak_trace_load(file.bytes().data(), file.bytes().size(), &error);
  ASSERT_NE(trace, nullptr) << error.text;
  hak_trace_summary summary;
  ASSERT_TRUE(hak_trace_summarise(trace, &summary));
  EXPECT_EQ(summary.peak_live_bytes, 1100u);
  EXPECT_EQ(summary.peak_live_blocks, 2u);
  EXPECT_EQ(summary.last_live_bytes, 21u);
  EXPECT_EQ(summary.last_live_blocks, 1u);
  EXPECT_EQ(summary.grown, 2u);
  EXPECT_EQ(summary.shrunk, 1u);
  EXPECT_EQ(summary.longest_growth, 2u);
  EXPECT_EQ(summary.longest_growth_bytes, 1000u);
  EXPECT_EQ(summary.failed, 1u);
  EXPECT_EQ(summary.duration_us, 5000u);
  EXPECT_EQ(summary.kinds[HAK_TRACE_MALLOC], 3u);
  EXPECT_EQ(summary.kinds[HAK_TRACE_REALLOC], 3u);
  EXPECT_EQ(summary.sizes[hak_trace_place(100)], 1u);
  EXPECT_EQ(summary.sizes[hak_trace_place(21)], 2u); /* 28 and 21 */
  EXPECT_EQ(summary.size_bytes[hak_trace_place(21)], 49u);
  EXPECT_EQ(summary.lifetimes[hak_trace_place(1)], 4u);
  EXPECT_EQ(summary.lifetimes[hak_trace_place(7)], 1u);
  ASSERT_EQ(summary.threads_count, 2u);
  EXPECT_EQ(summary.threads[0].ops, 7u);
  EXPECT_EQ(summary.threads[0].blocks, 5u);
  EXPECT_EQ(summary.threads[0].foreign_frees, 0u);
  EXPECT_EQ(summary.threads[1].frees, 1u);
  EXPECT_EQ(summary.threads[1].foreign_frees, 1u);
  hak_trace_summary_free(&summary);
  hak_trace_unload(trace);
}

}  // namespace
