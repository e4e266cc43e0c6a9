#include "hakmem/config/config.h"

#include <string>
#include <vector>

#include "hakmem/base/checks.h"

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

class Config : public testing::Test {
 protected:
  void SetUp() override { hak_config_reset_for_test(); }
  void TearDown() override { hak_config_reset_for_test(); }

  // Loads an environment of these entries; returns what was printed to stderr.
  static std::string Load(std::vector<std::string> entries) {
    std::vector<char*> environment;
    for (std::string& entry : entries) environment.push_back(entry.data());
    environment.push_back(nullptr);
    testing::internal::CaptureStderr();
    EXPECT_TRUE(hak_config_load(environment.data()));
    return testing::internal::GetCapturedStderr();
  }

  static std::string LoadAfresh(std::vector<std::string> entries) {
    hak_config_reset_for_test();
    return Load(std::move(entries));
  }
};

struct NumberRow {
  hak_option option;
  const char* name;
  uint64_t initial, min, max;
};

const NumberRow kNumbers[] = {
    {HAK_OPTION_DECAY_MS, "DECAY_MS", 500, 0, 3600000},
    {HAK_OPTION_SURPLUS_BYTES, "SURPLUS_BYTES", 512 * 1024, 0, 1ull << 40},
    {HAK_OPTION_SUPERSLAB_CACHE, "SUPERSLAB_CACHE", 8, 0, 65536},
    {HAK_OPTION_WHALE_CACHE_BYTES, "WHALE_CACHE_BYTES", 32 * kMiB, 0, 1ull << 40},
    {HAK_OPTION_THREAD_CACHE_BYTES, "THREAD_CACHE_BYTES", 16 * kMiB, 0, 1ull << 32},
    {HAK_OPTION_HUGE_PAGES, "HUGE_PAGES", 1, 0, 1},
    {HAK_OPTION_STATS_AT_EXIT, "STATS_AT_EXIT", 0, 0, 1},
    {HAK_OPTION_VERBOSE, "VERBOSE", 0, 0, 1},
};

std::string Entry(const NumberRow& row, const std::string& value) {
  return std::string("HAKMEM_") + row.name + "=" + value;
}

TEST_F(Config, TheTableHereIsComplete) {
  EXPECT_EQ(std::size(kNumbers) + 1, static_cast<size_t>(HAK_OPTION_COUNT)); /* and ON_ERROR */
  EXPECT_STREQ(hak_config_name(HAK_OPTION_ON_ERROR), "ON_ERROR");
  for (const NumberRow& row : kNumbers) EXPECT_STREQ(hak_config_name(row.option), row.name);
}

TEST_F(Config, DefaultsHoldBeforeAndAfterAnEmptyLoad) {
  for (const NumberRow& row : kNumbers) EXPECT_EQ(hak_config_get(row.option), row.initial) << row.name;
  EXPECT_EQ(Load({}), "");
  for (const NumberRow& row : kNumbers) EXPECT_EQ(hak_config_get(row.option), row.initial) << row.name;
  EXPECT_EQ(hak_config_get(HAK_OPTION_ON_ERROR), static_cast<uint64_t>(HAK_ERROR_ABORT));
  EXPECT_EQ(hak_get_error_action(), HAK_ERROR_ABORT);
}

TEST_F(Config, EveryNumberTakesItsWholeRange) {
  for (const NumberRow& row : kNumbers) {
    for (const uint64_t value : {row.min, row.min + 1, row.max}) {
      EXPECT_EQ(LoadAfresh({Entry(row, std::to_string(value))}), "");
      EXPECT_EQ(hak_config_get(row.option), value) << row.name;
    }
  }
}

TEST_F(Config, EveryNumberRefusesWhatIsNoneOrOutOfRange) {
  for (const NumberRow& row : kNumbers) {
    for (const std::string& bad : {std::to_string(row.max + 1), std::string(""), std::string("-1"), std::string("+1"),
                                   std::string("1x"), std::string("x"), std::string(" 1"), std::string("1 "),
                                   std::string("0x1"), std::string("1kk"), std::string("k"), std::string("1.5"),
                                   std::string("18446744073709551616"), std::string("18446744073709551615"),
                                   std::string("99999999999999999999999999"), std::string("18014398509481984k")}) {
      const std::string text = LoadAfresh({Entry(row, bad)});
      EXPECT_EQ(text, "hakmem: ignored HAKMEM_" + std::string(row.name) + "=" + bad + ": not a number from " +
                          std::to_string(row.min) + " to " + std::to_string(row.max) + "\n");
      EXPECT_EQ(hak_config_get(row.option), row.initial) << row.name << "=" << bad;
    }
  }
}

TEST_F(Config, Suffixes) {
  const struct {
    const char* text;
    uint64_t value;
  } rows[] = {{"3k", 3 * kKiB}, {"3K", 3 * kKiB}, {"3m", 3 * kMiB},     {"3M", 3 * kMiB},
              {"3g", 3 * kGiB}, {"3G", 3 * kGiB}, {"1024g", 1ull << 40}};
  for (const auto& row : rows) {
    EXPECT_EQ(LoadAfresh({std::string("HAKMEM_WHALE_CACHE_BYTES=") + row.text}), "");
    EXPECT_EQ(hak_config_get(HAK_OPTION_WHALE_CACHE_BYTES), row.value) << row.text;
  }
  EXPECT_NE(LoadAfresh({"HAKMEM_WHALE_CACHE_BYTES=1025g"}), "");
  EXPECT_NE(LoadAfresh({"HAKMEM_WHALE_CACHE_BYTES=17179869184g"}), ""); /* 2^64 */
}

TEST_F(Config, NumbersAreNoWords) {
  for (const NumberRow& row : kNumbers) EXPECT_EQ(hak_config_word(row.option), nullptr) << row.name;
}

TEST_F(Config, ErrorActionIsAWord) {
  const struct {
    const char* word;
    hak_error_action action;
  } rows[] = {{"abort", HAK_ERROR_ABORT}, {"warn", HAK_ERROR_WARN}, {"ignore", HAK_ERROR_IGNORE}};
  for (const auto& row : rows) {
    EXPECT_EQ(LoadAfresh({std::string("HAKMEM_ON_ERROR=") + row.word}), "");
    EXPECT_EQ(hak_config_get(HAK_OPTION_ON_ERROR), static_cast<uint64_t>(row.action));
    EXPECT_EQ(hak_get_error_action(), row.action);
    EXPECT_STREQ(hak_config_word(HAK_OPTION_ON_ERROR), row.word);
  }
  for (const char* bad : {"", "1", "Abort", "abor", "aborts", "warn "}) {
    EXPECT_EQ(LoadAfresh({std::string("HAKMEM_ON_ERROR=") + bad}),
              std::string("hakmem: ignored HAKMEM_ON_ERROR=") + bad + ": not one of abort, warn, ignore\n");
    EXPECT_EQ(hak_get_error_action(), HAK_ERROR_ABORT);
  }
}

TEST_F(Config, OtherNamesAreNobodysBusiness) {
  EXPECT_EQ(Load({"PATH=/bin", "HAKMEM_NO_SUCH=1", "HAKMEM_DECAY=1", "HAKMEM_DECAY_MS_=1", "HAKMEM_DECAY_MS",
                  "XHAKMEM_DECAY_MS=1", "hakmem_decay_ms=1", "HAKMEM_=1", "HAKMEM_", "", "="}),
            "");
  for (const NumberRow& row : kNumbers) EXPECT_EQ(hak_config_get(row.option), row.initial) << row.name;
}

TEST_F(Config, ABadValueIsNamedOnceAndSpoilsNoOther) {
  EXPECT_EQ(Load({"HAKMEM_DECAY_MS=never", "HAKMEM_VERBOSE=1"}),
            "hakmem: ignored HAKMEM_DECAY_MS=never: not a number from 0 to 3600000\n");
  EXPECT_EQ(hak_config_get(HAK_OPTION_VERBOSE), 1u);
  EXPECT_EQ(Load({"HAKMEM_DECAY_MS=never"}), ""); /* loaded already: not even looked at */
}

TEST_F(Config, AValueOfAnyLengthLeavesTheReasonReadable) {
  const std::string text = Load({"HAKMEM_DECAY_MS=" + std::string(100000, '9')});
  EXPECT_NE(text.find(": not a number from 0 to 3600000\n"), std::string::npos);
  EXPECT_LT(text.size(), 300u);
}

TEST_F(Config, IsReadOnce) {
  EXPECT_EQ(Load({"HAKMEM_DECAY_MS=1"}), "");
  EXPECT_EQ(Load({"HAKMEM_DECAY_MS=2"}), "");
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 1u);
}

TEST_F(Config, WaitsForAnEnvironment) {
  EXPECT_FALSE(hak_config_load(nullptr));
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 500u);
  EXPECT_EQ(Load({"HAKMEM_DECAY_MS=1"}), "");
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 1u);
  EXPECT_TRUE(hak_config_load(nullptr));
}

TEST_F(Config, ASetUserIdProcessIgnoresTheEnvironment) {
  char entry[] = "HAKMEM_DECAY_MS=1";
  char bad[] = "HAKMEM_VERBOSE=maybe";
  char* environment[] = {entry, bad, nullptr};
  testing::internal::CaptureStderr();
  EXPECT_TRUE(hak_config_load_as(environment, true));
  EXPECT_TRUE(hak_config_load_as(environment, false)); /* for good */
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 500u);
}

TEST_F(Config, ResetForgetsEverything) {
  Load({"HAKMEM_DECAY_MS=1", "HAKMEM_ON_ERROR=ignore"});
  hak_config_reset_for_test();
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 500u);
  EXPECT_EQ(hak_get_error_action(), HAK_ERROR_ABORT);
}

}  // namespace
