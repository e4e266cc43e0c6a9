/* hak_config_load_as on environments of any bytes, against a second reading of hakmem.conf(5): each value in force, and
 * each word on stderr. */
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/options_model.h"
#include "fuzz/stderr_capture.h"
#include "hakmem/config/config.h"

namespace {

const std::string kPrefix = "HAKMEM_";

/* An entry made of parts that matter, with any bytes in between. */
std::string TakeEntry(fuzz::Input& input) {
  static const char* const kValues[] = {"abort", "warn", "ignore", "0", "1", "18446744073709551616"};
  const uint8_t shape = input.TakeByte();
  std::string entry;
  if ((shape & 1) != 0) entry += kPrefix;
  if ((shape & 2) != 0) entry += fuzz::Rules()[input.TakeBelow(HAK_OPTION_COUNT)].name;
  if ((shape & 4) != 0) entry += '=';
  if ((shape & 8) != 0) entry += kValues[input.TakeBelow(std::size(kValues))];
  if ((shape & 16) != 0) entry += std::to_string(input.TakeNumber(1 + (shape >> 6) * 2));
  if ((shape & 32) != 0) entry += input.TakeText();
  return std::string(entry.c_str()); /* ends at the first zero byte, as an entry does */
}

std::string Load(std::vector<std::string> entries, bool is_secure) {
  static fuzz::StderrCapture capture;
  std::vector<char*> environment;
  for (std::string& entry : entries) environment.push_back(entry.data());
  environment.push_back(nullptr);
  capture.Begin();
  const bool is_loaded = hak_config_load_as(environment.data(), is_secure);
  const std::string text = capture.End();
  FUZZ_CHECK(is_loaded);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  fuzz::Input input(data, size_bytes);
  const bool is_secure = input.TakeByte() % 16 == 15;
  std::vector<std::string> entries;
  while (!input.IsUsedUp()) entries.push_back(TakeEntry(input));

  hak_config_reset_for_test();
  fuzz::OptionsModel().CheckInForce();
  FUZZ_CHECK(!hak_config_load_as(nullptr, is_secure)); /* not yet an environment */
  fuzz::OptionsModel expected;
  if (!is_secure) expected.ApplyEnvironment(entries);
  FUZZ_CHECK(Load(entries, is_secure) == expected.complaints());
  expected.CheckInForce();
  FUZZ_CHECK(Load({"HAKMEM_DECAY_MS=7", "HAKMEM_VERBOSE=2"}, false).empty()); /* once is enough */
  expected.CheckInForce();
  return 0;
}
