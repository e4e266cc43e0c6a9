#include "fuzz/stderr_capture.h"

#include <string.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace {

void WriteToStderr(const char* text) {
  ASSERT_EQ(write(STDERR_FILENO, text, strlen(text)), static_cast<ssize_t>(strlen(text)));
}

TEST(StderrCapture, IsWhatWasWrittenInBetween) {
  fuzz::StderrCapture capture;
  for (const char* text : {"a longer line\n", "one\ntwo\n", ""}) {
    capture.Begin();
    WriteToStderr(text);
    EXPECT_EQ(capture.End(), text);
    WriteToStderr("(not captured)\n");
  }
}

// It comes from a signal handler, between any two writes, where somebody wants the fuzzing to end.
TEST(StderrCapture, LeavesLibFuzzersOwnLineOut) {
  fuzz::StderrCapture capture;
  capture.Begin();
  WriteToStderr("hakmem: one\n");
  WriteToStderr("INFO: signal received, trying to exit gracefully\n");
  WriteToStderr("hakmem: two\n");
  EXPECT_EQ(capture.End(), "hakmem: one\nhakmem: two\n");
}

}  // namespace
