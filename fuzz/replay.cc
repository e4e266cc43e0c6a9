#include "fuzz/replay.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace fuzz {
namespace {

namespace fs = std::filesystem;

/* The inputs that `path` stands for, in a fixed order. */
std::vector<std::string> FindInputs(const std::string& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return {path};
  std::vector<std::string> inputs;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    if (entry.is_regular_file(error)) inputs.push_back(entry.path().string());
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

[[noreturn]] void RunChild(Target target, const std::vector<char>& bytes, unsigned seconds) {
  signal(SIGALRM, SIG_DFL);
  alarm(seconds);
  /* exit and not _exit: coverage and sanitizers write their findings then. */
  exit(target(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) == 0 ? 0 : 1);
}

/* What went wrong, or "". */
std::string Describe(int status) {
  if (WIFSIGNALED(status)) {
    if (WTERMSIG(status) == SIGALRM) return "took too long";
    return std::string("died of ") + strsignal(WTERMSIG(status));
  }
  return WEXITSTATUS(status) == 0 ? "" : "exit status " + std::to_string(WEXITSTATUS(status));
}

std::string RunOne(Target target, const std::string& path, unsigned seconds) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return "cannot be read";
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const pid_t child = fork();
  if (child == 0) RunChild(target, bytes, seconds);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return "could not be run";
  return Describe(status);
}

}  // namespace

bool ReplayAll(Target target, const std::vector<std::string>& paths, const ReplayLimits& limits, std::FILE* out) {
  size_t run = 0;
  size_t failed = 0;
  bool all_paths_hold_inputs = !paths.empty();
  if (paths.empty()) std::fprintf(out, "no input given\n");
  for (const std::string& path : paths) {
    const std::vector<std::string> inputs = FindInputs(path);
    if (inputs.empty()) {
      all_paths_hold_inputs = false;
      std::fprintf(out, "no input: %s\n", path.c_str());
    }
    for (const std::string& input : inputs) {
      std::fflush(nullptr); /* or the child prints it again */
      const std::string trouble = RunOne(target, input, limits.seconds_per_input);
      run++;
      if (trouble.empty()) continue;
      failed++;
      std::fprintf(out, "FAILED %s: %s\n", input.c_str(), trouble.c_str());
    }
  }
  std::fprintf(out, "%zu inputs, %zu failed\n", run, failed);
  return all_paths_hold_inputs && failed == 0;
}

}  // namespace fuzz
