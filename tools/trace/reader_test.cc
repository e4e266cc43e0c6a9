/* What is loaded is what was written; what cannot be played is refused with a line that says where. */
#include "tools/trace/reader.h"

#include <string>
#include <vector>

#include "tools/trace/test_file.h"

#include "gtest/gtest.h"

namespace {

using trace_test::File;

/* The trace, or the reason why there is none. */
class Loaded {
 public:
  explicit Loaded(const std::vector<uint8_t>& bytes) : trace_(hak_trace_load(bytes.data(), bytes.size(), &error_)) {}
  ~Loaded() {
    if (trace_ != nullptr) hak_trace_unload(trace_);
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  const hak_trace* operator->() const { return trace_; }
  bool IsThere() const { return trace_ != nullptr; }
  std::string Why() const { return trace_ == nullptr ? error_.text : "loaded"; }
  const hak_trace* get() const { return trace_; }

 private:
  hak_trace_error error_ = {};
  hak_trace* trace_;
};

/* Thread 1 frees and resizes what thread 0 made. */
File TwoThreads() {
  File file;
  file.Mark(0, 0, 10);
  file.Malloc(0, 100);
  file.Malloc(0, 200);
  file.Mark(1, 1, 20);
  file.Malloc(1, 300);
  file.Free(1, 0, 0);
  file.Realloc(1, 0, 1, 400);
  file.CloseAll();
  return file;
}

TEST(Reader, Loads) {
  Loaded trace(TwoThreads().bytes());
  ASSERT_TRUE(trace.IsThere()) << trace.Why();
  ASSERT_EQ(trace->threads_count, 2u);
  EXPECT_EQ(trace->blocks_count, 4u);
  EXPECT_EQ(trace->ops_count, 5u);
  EXPECT_EQ(trace->marks_count, 2u);
  EXPECT_EQ(trace->marks[1].thread, 1u);
  EXPECT_EQ(trace->marks[1].time_us, 20u);
  EXPECT_EQ(trace->threads[1].first_block, 2u);
  const hak_trace_op* ops = trace->threads[1].ops;
  ASSERT_EQ(trace->threads[1].ops_count, 4u);
  EXPECT_EQ(ops[0].kind, HAK_TRACE_MARK);
  EXPECT_EQ(ops[1].size, 300u);
  EXPECT_EQ(ops[2].kind, HAK_TRACE_FREE);
  EXPECT_EQ(ops[2].block, 0u);
  EXPECT_TRUE(ops[2].is_foreign);
  EXPECT_EQ(ops[3].block, 1u);
  EXPECT_EQ(ops[3].size, 400u);
}

TEST(Reader, ManyChunks) {
  File file;
  for (uint64_t i = 0; i < 10000; i++) {
    if (i % 256 == 0) file.Mark(0, i);
    file.Malloc(0, i);
    if (i % 3 == 2) file.Free(0, 0, i / 2);
  }
  Loaded trace(file.bytes());
  ASSERT_TRUE(trace.IsThere()) << trace.Why();
  EXPECT_EQ(trace->blocks_count, 10000u);
  EXPECT_EQ(trace->ops_count, 13333u);
  EXPECT_LT(trace->records_bytes, 4 * 13333u);
}

TEST(Reader, TicketsMayBeMissing) {
  File file;
  file.Mark(0, 7);
  file.Malloc(0, 1);
  file.Mark(1, 3);
  Loaded trace(file.bytes());
  ASSERT_TRUE(trace.IsThere()) << trace.Why();
  EXPECT_EQ(trace->marks[0].thread, 1u);
  EXPECT_EQ(trace->threads[0].ops[0].size, 1u);
}

TEST(Reader, OpenChunksGoUpToTheFirstZero) {
  File file;
  file.Malloc(0, 1);
  Loaded trace(file.bytes());
  ASSERT_TRUE(trace.IsThere()) << trace.Why();
  EXPECT_EQ(trace->ops_count, 1u);
}

TEST(Reader, PagesThatNobodyWroteAndVoidChunks) {
  File file = TwoThreads();
  file.bytes().resize(file.bytes().size() + 2 * File::kPageBytes, 0);
  file.Malloc(2, 5);
  file.Malloc(3, 5);
  const uint32_t magic = HAK_TRACE_VOID_MAGIC;
  std::memcpy(&file.bytes()[file.bytes().size() - 2 * File::kPageBytes], &magic, sizeof(magic));
  Loaded trace(file.bytes());
  ASSERT_TRUE(trace.IsThere()) << trace.Why();
  EXPECT_EQ(trace->threads_count, 4u);
  EXPECT_EQ(trace->threads[2].ops_count, 0u);
  EXPECT_EQ(trace->threads[3].ops_count, 1u);
}

TEST(Reader, BlocksThatTheFileDoesNotKnow) {
  File file;
  file.Malloc(0, 1);
  file.Free(0, 1, 5);
  file.Realloc(0, 9, 5, 64);
  file.Free(0, 0, 1);
  file.Put(0, File::Of(HAK_TRACE_FREE_UNKNOWN));
  Loaded trace(file.bytes());
  ASSERT_TRUE(trace.IsThere()) << trace.Why();
  EXPECT_EQ(trace->unborn_refs, 2u);
  EXPECT_EQ(trace->unknown_frees, 1u);
  ASSERT_EQ(trace->ops_count, 3u);
  EXPECT_EQ(trace->threads[0].ops[1].kind, HAK_TRACE_REALLOC_NULL);
  EXPECT_EQ(trace->threads[0].ops[2].block, 1u);
}

struct Seen {
  std::vector<uint32_t> threads;
  std::vector<uint32_t> made;
};

TEST(Reader, WalksInAnOrderThatTheProcessCouldHaveHad) {
  File file;
  /* Thread 0 frees what thread 1 makes after a mark that comes after thread 0's first. */
  file.Mark(0, 0);
  file.Free(0, 1, 0);
  file.Mark(1, 1);
  file.Malloc(1, 8);
  Loaded trace(file.bytes());
  ASSERT_TRUE(trace.IsThere()) << trace.Why();
  Seen seen;
  hak_trace_error error;
  ASSERT_TRUE(hak_trace_walk(
      trace.get(),
      [](void* context, uint32_t thread, const hak_trace_op*, uint32_t made) {
        static_cast<Seen*>(context)->threads.push_back(thread);
        static_cast<Seen*>(context)->made.push_back(made);
      },
      &seen, &error));
  EXPECT_EQ(seen.threads, (std::vector<uint32_t>{0, 1, 1, 0}));
  EXPECT_EQ(seen.made, (std::vector<uint32_t>{UINT32_MAX, UINT32_MAX, 0, UINT32_MAX}));
}

/* --- what is refused --- */

void ExpectRefused(const std::vector<uint8_t>& bytes, const std::string& words) {
  Loaded trace(bytes);
  EXPECT_NE(trace.Why().find(words), std::string::npos) << trace.Why();
  EXPECT_EQ(trace.Why().find('\n'), std::string::npos);
}

template <typename T>
std::vector<uint8_t> With(File file, size_t at, T value) {
  std::memcpy(&file.bytes()[at], &value, sizeof(value));
  return file.bytes();
}

constexpr size_t kFirst = File::kPageBytes;

TEST(Reader, RefusesOtherFiles) {
  ExpectRefused({1, 2, 3}, "3 bytes");
  ExpectRefused(std::vector<uint8_t>(10000, 'x'), "is no trace");
  ExpectRefused(With(TwoThreads(), offsetof(hak_trace_file_header, version), uint32_t{9}), "of version 9");
  ExpectRefused(With(TwoThreads(), offsetof(hak_trace_file_header, page_bytes), uint32_t{1000}), "page size of 1000");
}

TEST(Reader, RefusesWhatIsCutOff) {
  const std::vector<uint8_t> whole = TwoThreads().bytes();
  for (size_t bytes = 0; bytes < whole.size(); bytes += 7) {
    Loaded trace(std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes)));
    /* Cut between two chunks it is a shorter trace. */
    EXPECT_TRUE(!trace.IsThere() || bytes <= kFirst || bytes == 2 * kFirst) << bytes << ' ' << trace.Why();
  }
  std::vector<uint8_t> cut = whole;
  cut.resize(2 * kFirst + 100);
  ExpectRefused(cut, "is cut off: it ends at byte 8292, amid the chunk of thread 1 that begins at byte 8192");
}

TEST(Reader, RefusesEveryChangedByteOfAClosedChunk) {
  const File file = TwoThreads();
  const size_t used = sizeof(hak_trace_chunk_header) + 4;
  for (size_t at = kFirst; at < kFirst + used; at++) {
    File damaged = file;
    damaged.bytes()[at] ^= 0x10;
    Loaded trace(damaged.bytes());
    EXPECT_FALSE(trace.IsThere()) << at;
  }
  ExpectRefused(With(file, kFirst, uint32_t{77}), "no chunk begins at byte 4096");
  ExpectRefused(With(file, kFirst + sizeof(hak_trace_chunk_header) + 3, uint8_t{1}),
                "the chunk of thread 0 at byte 4096 has another checksum");
}

TEST(Reader, RefusesWhatIsNoRecord) {
  File file;
  file.Malloc(0, 8);
  ExpectRefused(With(file, kFirst + sizeof(hak_trace_chunk_header), uint8_t{0x7f}),
                "the bytes at 4136, of thread 0, are no record");
}

TEST(Reader, RefusesChunksOutOfPlace) {
  File file;
  file.Malloc(0, 8);
  ExpectRefused(With(file, kFirst + offsetof(hak_trace_chunk_header, number), uint32_t{1}), "is chunk 1 of thread 0");
  ExpectRefused(With(file, kFirst + offsetof(hak_trace_chunk_header, first_ordinal), uint64_t{1}), "is chunk 0");
  ExpectRefused(With(file, kFirst + offsetof(hak_trace_chunk_header, thread), uint32_t{1} << 31), "makes no sense");
}

TEST(Reader, RefusesWhatCannotBePlayed) {
  File twice;
  twice.Malloc(0, 8);
  twice.Free(0, 0, 0);
  twice.Free(0, 0, 0);
  ExpectRefused(twice.bytes(), "operation 2 of thread 0 names a block that was freed before it");
  File circle;
  circle.Free(0, 1, 0);
  circle.Malloc(0, 8);
  circle.Free(1, 0, 0);
  circle.Malloc(1, 8);
  ExpectRefused(circle.bytes(), "operation 0 of thread 0 waits for one that waits for it");
  File same_ticket;
  same_ticket.Mark(0, 4);
  same_ticket.Mark(1, 4);
  ExpectRefused(same_ticket.bytes(), "threads 0 and 1 both have mark 4");
}

TEST(Reader, FilesThatCannotBeRead) {
  hak_trace_error error;
  EXPECT_EQ(hak_trace_load_file("/no/such/file", &error), nullptr);
  EXPECT_NE(std::string(error.text).find("No such file"), std::string::npos);
  EXPECT_EQ(hak_trace_load_file("/", &error), nullptr);
  EXPECT_STREQ(error.text, "is no file");
  EXPECT_EQ(hak_trace_load_file("/dev/null", &error), nullptr);
}

}  // namespace
