/* Purpose: runs a fuzz target over files, without libFuzzer, so that every test run of every build goes over them.
 * Owns: nothing.
 * Invariants:
 *   1. Each input runs in a process of its own: one that crashes or hangs is named, and the others still run.
 * Threads: call from a process with one thread.  Cost: a fork an input. */
#ifndef FUZZ_REPLAY_H_
#define FUZZ_REPLAY_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace fuzz {

/** As libFuzzer calls it: LLVMFuzzerTestOneInput. */
using Target = int (*)(const uint8_t* data, size_t size_bytes);

struct ReplayLimits {
  unsigned seconds_per_input = 30;
};

/** Runs `target` on each of `paths`: a file, or a folder for every file directly in it. Names on `out` each input that
 *  fails and each path that cannot be read or holds no input; ends with a line of counts. True: there was an input in
 *  every path, and all passed. */
bool ReplayAll(Target target, const std::vector<std::string>& paths, const ReplayLimits& limits, std::FILE* out);

}  // namespace fuzz

#endif  // FUZZ_REPLAY_H_
