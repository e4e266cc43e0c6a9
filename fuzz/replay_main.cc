/* main of a fuzz target's replay test: runs the target on the files and folders given. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "fuzz/replay.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes);

/* ThreadSanitizer waits a second for races at the end of a process with threads: here that is a second for each input. */
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "atexit_sleep_ms=0"; }

int main(int argc, char** argv) {
  const std::vector<std::string> paths(argv + 1, argv + argc);
  for (const std::string& path : paths) {
    if (path[0] != '-') continue;
    std::fprintf(stderr, "usage: %s FILE-OR-FOLDER...    runs the fuzz target on each file\n", argv[0]);
    return path == "--help" ? 0 : 2;
  }
  fuzz::ReplayLimits limits;
  if (std::getenv("HAKMEM_TEST_EMULATOR") != nullptr) limits.seconds_per_input *= 10;
  return fuzz::ReplayAll(LLVMFuzzerTestOneInput, paths, limits, stdout) ? 0 : 1;
}
