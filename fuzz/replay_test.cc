#include "fuzz/replay.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fuzz/input.h"

#include "gtest/gtest.h"

namespace {

// Passes, unless the input's first byte asks for something else.
int Sample(const uint8_t* data, size_t size_bytes) {
  fuzz::Input input(data, size_bytes);
  switch (input.TakeByte()) {
    case 'c': FUZZ_CHECK(input.TakeByte() == 0); return 0;
    case 'h':
      for (;;) pause();
    case 'r': return 1;
    default: return 0;
  }
}

class Replay : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/replay_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
  }

  // Replays; what was printed is in text_.
  bool Run(const std::vector<std::string>& paths) {
    std::FILE* out = std::tmpfile();
    fuzz::ReplayLimits limits;
    limits.seconds_per_input = 1;
    const bool is_ok = fuzz::ReplayAll(Sample, paths, limits, out);
    std::rewind(out);
    text_.clear();
    for (int c; (c = std::fgetc(out)) != EOF;) text_ += static_cast<char>(c);
    std::fclose(out);
    return is_ok;
  }

  std::string folder_;
  std::string text_;
};

TEST_F(Replay, RunsEveryFileOfAFolder) {
  Write("a", "");
  Write("b", "x");
  std::filesystem::create_directory(Path("not_an_input"));
  EXPECT_TRUE(Run({folder_}));
  EXPECT_EQ(text_, "2 inputs, 0 failed\n");
}

TEST_F(Replay, NamesEachFailureAndGoesOn) {
  Write("a", "c\1");
  Write("b", "x");
  Write("c", "r");
  EXPECT_FALSE(Run({folder_}));
  EXPECT_EQ(text_,
            "FAILED " + Path("a") + ": died of Aborted\nFAILED " + Path("c") + ": exit status 1\n3 inputs, 2 failed\n");
}

TEST_F(Replay, NamesWhatHangs) {
  Write("a", "h");
  EXPECT_FALSE(Run({Path("a")}));
  EXPECT_EQ(text_, "FAILED " + Path("a") + ": took too long\n1 inputs, 1 failed\n");
}

TEST_F(Replay, AnEmptyOrMissingCorpusIsAFailure) {
  EXPECT_FALSE(Run({folder_}));
  EXPECT_EQ(text_, "no input: " + folder_ + "\n0 inputs, 0 failed\n");
  EXPECT_FALSE(Run({}));
  Write("a", "x");
  EXPECT_FALSE(Run({folder_, Path("missing")}));
  EXPECT_EQ(text_, "no input: " + Path("missing") + "\n1 inputs, 0 failed\n");
}

TEST(Input, EveryByteIsUsedOnceAndThenThereAreZeroes) {
  const uint8_t bytes[] = {1, 2, 3, 4, 5, 2, 'a', 'b', 9, 'c'};
  fuzz::Input input(bytes, sizeof bytes);
  EXPECT_EQ(input.TakeByte(), 1u);
  EXPECT_EQ(input.TakeNumber(2), 0x0302u);
  EXPECT_EQ(input.TakeBelow(1), 0u); /* takes none */
  EXPECT_EQ(input.TakeBelow(4), 0u);
  EXPECT_EQ(input.TakeBelow(256), 5u);
  EXPECT_EQ(input.TakeText(), "ab");
  EXPECT_FALSE(input.IsUsedUp());
  EXPECT_EQ(input.TakeText(), "c");
  EXPECT_TRUE(input.IsUsedUp());
  EXPECT_EQ(input.TakeNumber(8), 0u);
  EXPECT_EQ(input.TakeText(), "");
}

}  // namespace
