/* hak_config_load_as on environments of any bytes, against a second reading of docs/tuning.md: each value in force, and
 * each word on stderr. */
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/stderr_capture.h"
#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"

namespace {

struct Rule {
  const char* name;
  uint64_t initial;
  uint64_t max; /* of a number; the min is 0 */
};

constexpr uint64_t kMiB = uint64_t{1} << 20;

/* docs/tuning.md, in the order of hak_option. */
constexpr Rule kRules[HAK_OPTION_COUNT] = {
    {"ON_ERROR", 0, 2},
    {"DECAY_MS", 500, 3600000},
    {"SURPLUS_BYTES", kMiB / 2, kMiB << 20},
    {"SUPERSLAB_CACHE", 8, 65536},
    {"WHALE_CACHE_BYTES", 32 * kMiB, kMiB << 20},
    {"THREAD_CACHE_BYTES", 16 * kMiB, kMiB << 12},
    {"HUGE_PAGES", 1, 1},
    {"STATS_AT_EXIT", 0, 1},
    {"VERBOSE", 0, 1},
};

const std::string kPrefix = "HAKMEM_";

/* What a load must lead to. */
struct Outcome {
  uint64_t values[HAK_OPTION_COUNT];
  std::string complaints;
};

bool ReadErrorAction(const std::string& text, uint64_t* value) {
  const std::string words[] = {"abort", "warn", "ignore"};
  for (uint64_t i = 0; i < 3; i++) {
    if (text != words[i]) continue;
    *value = i;
    return true;
  }
  return false;
}

/* Digits and at most one letter; too much is too much, however much. */
bool ReadNumber(std::string text, uint64_t max, uint64_t* value) {
  int shift = 0;
  const size_t letter = text.empty() ? std::string::npos : std::string("kKmMgG").find(text.back());
  if (letter != std::string::npos) {
    shift = 10 * (static_cast<int>(letter) / 2 + 1);
    text.pop_back();
  }
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return false;
  text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
  if (text.size() > 20) return false;
  unsigned __int128 number = 0;
  for (const char digit : text) number = number * 10 + static_cast<unsigned>(digit - '0');
  number <<= shift;
  if (number > max) return false;
  *value = static_cast<uint64_t>(number);
  return true;
}

std::string Complaint(hak_option option, const std::string& text) {
  const Rule& rule = kRules[option];
  const std::string reason = option == HAK_OPTION_ON_ERROR ? "not one of abort, warn, ignore"
                                                           : "not a number from 0 to " + std::to_string(rule.max);
  return "hakmem: ignored " + kPrefix + rule.name + "=" + text.substr(0, 80) + ": " + reason + "\n";
}

void ApplyEntry(const std::string& entry, Outcome* outcome) {
  const size_t equals = entry.find('=');
  if (equals == std::string::npos) return;
  const std::string name = entry.substr(0, equals);
  const std::string text = entry.substr(equals + 1);
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    if (name != kPrefix + kRules[i].name) continue;
    const bool is_good = i == HAK_OPTION_ON_ERROR ? ReadErrorAction(text, &outcome->values[i])
                                                  : ReadNumber(text, kRules[i].max, &outcome->values[i]);
    if (!is_good) outcome->complaints += Complaint(static_cast<hak_option>(i), text);
  }
}

Outcome Expected(const std::vector<std::string>& entries, bool is_secure) {
  Outcome outcome;
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) outcome.values[i] = kRules[i].initial;
  for (const std::string& entry : entries) {
    if (!is_secure) ApplyEntry(entry, &outcome);
  }
  return outcome;
}

/* An entry made of parts that matter, with any bytes in between. */
std::string TakeEntry(fuzz::Input& input) {
  static const char* const kValues[] = {"abort", "warn", "ignore", "0", "1", "18446744073709551616"};
  const uint8_t shape = input.TakeByte();
  std::string entry;
  if ((shape & 1) != 0) entry += kPrefix;
  if ((shape & 2) != 0) entry += kRules[input.TakeBelow(HAK_OPTION_COUNT)].name;
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

void CheckValues(const Outcome& expected) {
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    FUZZ_CHECK(hak_config_get(static_cast<hak_option>(i)) == expected.values[i]);
    FUZZ_CHECK(hak_config_name(static_cast<hak_option>(i)) == std::string(kRules[i].name));
  }
  FUZZ_CHECK(hak_get_error_action() == static_cast<hak_error_action>(expected.values[HAK_OPTION_ON_ERROR]));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  fuzz::Input input(data, size_bytes);
  const bool is_secure = input.TakeByte() % 16 == 15;
  std::vector<std::string> entries;
  while (!input.IsUsedUp()) entries.push_back(TakeEntry(input));

  hak_config_reset_for_test();
  CheckValues(Expected({}, false));
  FUZZ_CHECK(!hak_config_load_as(nullptr, is_secure)); /* not yet an environment */
  const Outcome expected = Expected(entries, is_secure);
  FUZZ_CHECK(Load(entries, is_secure) == expected.complaints);
  CheckValues(expected);
  FUZZ_CHECK(Load({"HAKMEM_DECAY_MS=7", "HAKMEM_VERBOSE=2"}, false).empty()); /* once is enough */
  CheckValues(expected);
  return 0;
}
