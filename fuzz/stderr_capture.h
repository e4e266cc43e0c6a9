/* Purpose: what the code under test writes to stderr, as text.
 * Owns: a file in memory and a second descriptor of stderr, for the life of the process.
 * Threads: one at a time, with no other thread writing to stderr.  Fails: ends the program. */
#ifndef FUZZ_STDERR_CAPTURE_H_
#define FUZZ_STDERR_CAPTURE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "fuzz/input.h"

/* Where a sanitizer writes its reports, in builds that have one: not into the text under test. */
extern "C" __attribute__((weak)) void __sanitizer_set_report_fd(void* fd);

namespace fuzz {

class StderrCapture {
 public:
  StderrCapture() : file_(memfd_create("stderr", MFD_CLOEXEC)), stderr_(dup(STDERR_FILENO)) {
    FUZZ_CHECK(file_ >= 0 && stderr_ >= 0);
    if (__sanitizer_set_report_fd != nullptr) {
      __sanitizer_set_report_fd(reinterpret_cast<void*>(static_cast<intptr_t>(stderr_)));
    }
  }

  void Begin() {
    FUZZ_CHECK(ftruncate(file_, 0) == 0 && lseek(file_, 0, SEEK_SET) == 0);
    FUZZ_CHECK(dup2(file_, STDERR_FILENO) >= 0);
  }

  /** What was written since Begin, without what libFuzzer writes when a signal asks it to end. */
  std::string End() {
    FUZZ_CHECK(dup2(stderr_, STDERR_FILENO) >= 0);
    std::string text(static_cast<size_t>(lseek(file_, 0, SEEK_END)), '\0');
    FUZZ_CHECK(pread(file_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    const std::string asked_to_end = "INFO: signal received, trying to exit gracefully\n";
    const size_t at = text.find(asked_to_end);
    return at == std::string::npos ? text : text.erase(at, asked_to_end.size());
  }

 private:
  const int file_;
  const int stderr_;
};

}  // namespace fuzz

#endif  // FUZZ_STDERR_CAPTURE_H_
