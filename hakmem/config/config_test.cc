#include "hakmem/config/config.h"

#include <errno.h>

#include <atomic>
#include <cctype>
#include <fstream>
#include <string>
#include <thread>
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
    EXPECT_TRUE(hak_config_load_as(environment.data(), false));
    return testing::internal::GetCapturedStderr();
  }

  // Loads these places afresh; returns what was printed to stderr. `file`: what is in it; nullptr: there is none.
  static std::string LoadPlaces(const char* linked, const char* file, std::vector<std::string> entries,
                                bool is_secure = false) {
    hak_config_reset_for_test();
    const std::string path = testing::TempDir() + "/hakmem.conf";
    std::remove(path.c_str());
    if (file != nullptr) std::ofstream(path) << file;
    std::vector<char*> environment;
    for (std::string& entry : entries) environment.push_back(entry.data());
    environment.push_back(nullptr);
    const hak_config_origin origin = {linked, path.c_str(), environment.data(), is_secure};
    testing::internal::CaptureStderr();
    EXPECT_TRUE(hak_config_load_from(&origin));
    return testing::internal::GetCapturedStderr();
  }

  static std::string Value(hak_option option) {
    hak_print out;
    hak_print_init(&out);
    hak_config_print_value(&out, option);
    return out.text;
  }

  static std::string SourceName(hak_option option) { return hak_config_source_name(hak_config_source_of(option)); }

  static std::string LoadAfresh(std::vector<std::string> entries) {
    hak_config_reset_for_test();
    return Load(std::move(entries));
  }
};

/* The table, read once more: numbers and flags, words, texts. */
struct NumberRow {
  hak_option option;
  const char* name;
  uint64_t initial, min, max;
  bool is_flag;
};

constexpr uint64_t KIB = kKiB, MIB = kMiB, GIB = kGiB;

const NumberRow kNumbers[] = {
#define HAK_NUMBER(name, unit, initial, min, max, when, meaning) {HAK_OPTION_##name, #name, initial, min, max, false},
#define HAK_FLAG(name, initial, when, meaning) {HAK_OPTION_##name, #name, initial, 0, 1, true},
#define HAK_WORD(name, words, when, meaning)
#define HAK_TEXT(name, max, when, meaning)
#include "hakmem/config/options.h"
#undef HAK_NUMBER
#undef HAK_FLAG
#undef HAK_WORD
#undef HAK_TEXT
};

struct TextRow {
  hak_option option;
  const char* name;
  size_t max;
};

const TextRow kTexts[] = {
#define HAK_NUMBER(name, unit, initial, min, max, when, meaning)
#define HAK_FLAG(name, initial, when, meaning)
#define HAK_WORD(name, words, when, meaning)
#define HAK_TEXT(name, max, when, meaning) {HAK_OPTION_##name, #name, max},
#include "hakmem/config/options.h"
#undef HAK_NUMBER
#undef HAK_FLAG
#undef HAK_WORD
#undef HAK_TEXT
};

struct WhenRow {
  const char* name;
  bool is_for_start;
};

constexpr bool START = true, NOW = false, THREAD = false;

const WhenRow kAll[] = {
#define HAK_NUMBER(name, unit, initial, min, max, when, meaning) {#name, when},
#define HAK_FLAG(name, initial, when, meaning) {#name, when},
#define HAK_WORD(name, words, when, meaning) {#name, when},
#define HAK_TEXT(name, max, when, meaning) {#name, when},
#include "hakmem/config/options.h"
#undef HAK_NUMBER
#undef HAK_FLAG
#undef HAK_WORD
#undef HAK_TEXT
};

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(c));
  return text;
}

std::string Entry(const NumberRow& row, const std::string& value) {
  return std::string("HAKMEM_") + row.name + "=" + value;
}

TEST_F(Config, NamesAreThoseOfTheTable) {
  ASSERT_EQ(std::size(kAll), static_cast<size_t>(HAK_OPTION_COUNT));
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    EXPECT_STREQ(hak_config_name(static_cast<hak_option>(i)), kAll[i].name);
  }
}

/* The defaults that the documents have told for long; a change of one is a decision. */
TEST_F(Config, DefaultsThatArePromised) {
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 500u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_SURPLUS_BYTES), 512 * kKiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_SUPERSLAB_CACHE), 256u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_WHALE_CACHE_BYTES), 512 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_THREAD_CACHE_BYTES), 16 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_HUGE_PAGES), 1u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_STATS_AT_EXIT), 0u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_VERBOSE), 0u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_ON_ERROR), static_cast<uint64_t>(HAK_ERROR_ABORT));
}

TEST_F(Config, DefaultsHoldBeforeAndAfterAnEmptyLoad) {
  for (const NumberRow& row : kNumbers) EXPECT_EQ(hak_config_get(row.option), row.initial) << row.name;
  for (const TextRow& row : kTexts) EXPECT_STREQ(hak_config_text(row.option), "") << row.name;
  EXPECT_EQ(Load({}), "");
  for (const NumberRow& row : kNumbers) EXPECT_EQ(hak_config_get(row.option), row.initial) << row.name;
  for (const TextRow& row : kTexts) EXPECT_STREQ(hak_config_text(row.option), "") << row.name;
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) EXPECT_EQ(SourceName(static_cast<hak_option>(i)), "default");
  EXPECT_EQ(hak_config_get(HAK_OPTION_ON_ERROR), static_cast<uint64_t>(HAK_ERROR_ABORT));
  EXPECT_EQ(hak_get_error_action(), HAK_ERROR_ABORT);
}

TEST_F(Config, EveryNumberTakesItsWholeRange) {
  for (const NumberRow& row : kNumbers) {
    for (const uint64_t value : {row.min, row.min + (row.min < row.max), row.max}) {
      EXPECT_EQ(LoadAfresh({Entry(row, std::to_string(value))}), "");
      EXPECT_EQ(hak_config_get(row.option), value) << row.name;
    }
  }
}

std::string Reason(const NumberRow& row) {
  if (row.is_flag) return "not 0 or 1";
  return "not a number from " + std::to_string(row.min) + " to " + std::to_string(row.max);
}

TEST_F(Config, EveryNumberRefusesWhatIsNoneOrOutOfRange) {
  for (const NumberRow& row : kNumbers) {
    for (const std::string& bad : {std::to_string(row.max + 1), std::string(""), std::string("-1"), std::string("+1"),
                                   std::string("1x"), std::string("x"), std::string(" 1"), std::string("1 "),
                                   std::string("0x1"), std::string("1kk"), std::string("k"), std::string("1.5"),
                                   std::string("18446744073709551616"), std::string("18446744073709551615"),
                                   std::string("99999999999999999999999999"), std::string("18014398509481984k")}) {
      const std::string text = LoadAfresh({Entry(row, bad)});
      EXPECT_EQ(text, "hakmem: ignored HAKMEM_" + std::string(row.name) + "=" + bad + ": " + Reason(row) + "\n");
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

TEST_F(Config, FlagsAreWordsToo) {
  EXPECT_EQ(LoadAfresh({"HAKMEM_HUGE_PAGES=false", "HAKMEM_VERBOSE=true"}), "");
  EXPECT_EQ(hak_config_get(HAK_OPTION_HUGE_PAGES), 0u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_VERBOSE), 1u);
  EXPECT_NE(LoadAfresh({"HAKMEM_VERBOSE=True"}), "");
}

TEST_F(Config, EveryTextTakesItsWholeLength) {
  for (const TextRow& row : kTexts) {
    const std::string variable = std::string("HAKMEM_") + row.name + "=";
    for (const size_t length : {size_t{0}, size_t{1}, row.max}) {
      const std::string text(length, 'x');
      EXPECT_EQ(LoadAfresh({variable + text}), "");
      EXPECT_EQ(hak_config_text(row.option), text) << row.name;
      EXPECT_EQ(Value(row.option), text);
    }
    const std::string complaint = LoadAfresh({variable + std::string(row.max + 1, 'x')});
    EXPECT_NE(complaint.find("x: not a text of at most " + std::to_string(row.max) + " bytes\n"), std::string::npos);
    EXPECT_STREQ(hak_config_text(row.option), "");
  }
}

TEST_F(Config, ATextOnceInForceStaysReadable) {
  ASSERT_EQ(hak_config_set("stats_file", "/tmp/one"), 0);
  const char* one = hak_config_text(HAK_OPTION_STATS_FILE);
  ASSERT_EQ(hak_config_set("stats_file", "/tmp/two"), 0);
  EXPECT_STREQ(one, "/tmp/one");
  EXPECT_STREQ(hak_config_text(HAK_OPTION_STATS_FILE), "/tmp/two");
  ASSERT_EQ(hak_config_set("stats_file", ""), 0);
  EXPECT_STREQ(hak_config_text(HAK_OPTION_STATS_FILE), "");
}

TEST_F(Config, TextsAreBoundedInAll) {
  int error = 0;
  int set = 0;
  for (; error == 0 && set < 1000; set++) {
    const std::string text = std::string(200, 'x') + std::to_string(set);
    error = hak_config_set("stats_file", text.c_str());
    if (error == 0) {
      EXPECT_EQ(hak_config_text(HAK_OPTION_STATS_FILE), text);
    }
  }
  EXPECT_EQ(error, ENOMEM);
  EXPECT_GT(set, 16 * 1024 / 205);
  const std::string last = hak_config_text(HAK_OPTION_STATS_FILE);
  EXPECT_EQ(hak_config_set("stats_file", last.c_str()), 0); /* the same again needs no room */
  EXPECT_EQ(hak_config_set("stats_file", ""), 0);
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
    EXPECT_EQ(Value(HAK_OPTION_ON_ERROR), row.word);
  }
  for (const char* bad : {"", "1", "Abort", "abor", "aborts", "warn "}) {
    EXPECT_EQ(LoadAfresh({std::string("HAKMEM_ON_ERROR=") + bad}),
              std::string("hakmem: ignored HAKMEM_ON_ERROR=") + bad + ": not one of abort, warn, ignore\n");
    EXPECT_EQ(hak_get_error_action(), HAK_ERROR_ABORT);
  }
}

TEST_F(Config, OtherVariablesAreNobodysBusiness) {
  EXPECT_EQ(Load({"PATH=/bin", "HAKMEM_DECAY_MS", "HAKMEM_CONF", "XHAKMEM_DECAY_MS=1", "hakmem_decay_ms=1",
                  "HAKMEM_TEST_X=1", "HAKMEM_TOOL_X=1", "HAKMEM_", "HAKMEM", "", "="}),
            "");
  for (const NumberRow& row : kNumbers) EXPECT_EQ(hak_config_get(row.option), row.initial) << row.name;
}

TEST_F(Config, UnknownOptionsAreNamed) {
  for (const char* name : {"NO_SUCH", "DECAY", "DECAY_MS_", "decay_ms", "", "TEST", "TOOL", "CONFIG"}) {
    EXPECT_EQ(LoadAfresh({std::string("HAKMEM_") + name + "=1"}),
              "hakmem: ignored HAKMEM_" + std::string(name) + "=1: no such option\n");
  }
}

TEST_F(Config, ListsHaveItemsBetweenCommasAndLines) {
  for (const char* list : {"decay_ms:7,on_error:warn", "decay_ms:7,on_error:warn,", ",,decay_ms:7,,on_error:warn",
                           " decay_ms : 7 ,\ton_error:\twarn ", "decay_ms:7\non_error:warn\n",
                           "# all of it\n decay_ms: 7 # milliseconds, of course\r\n\n#\non_error: warn",
                           "decay_ms:5,decay_ms:7,on_error:warn", "on_error:warn\ndecay_ms:7#"}) {
    const bool is_clean = std::string(list).back() != '#';
    EXPECT_EQ(LoadPlaces(list, nullptr, {}).empty(), is_clean) << list;
    EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), is_clean ? 7u : 500u) << list;
    EXPECT_EQ(Value(HAK_OPTION_ON_ERROR), "warn") << list;
    EXPECT_EQ(LoadPlaces(nullptr, list, {}).empty(), is_clean) << list;
    EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), is_clean ? 7u : 500u) << list;
    EXPECT_EQ(LoadPlaces(nullptr, nullptr, {std::string("HAKMEM_CONF=") + list}).empty(), is_clean) << list;
    EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), is_clean ? 7u : 500u) << list;
  }
}

TEST_F(Config, AValueMayHaveColonsAndHashes) {
  EXPECT_EQ(LoadPlaces("stats_file:unix:/a#b c", nullptr, {}), "");
  EXPECT_STREQ(hak_config_text(HAK_OPTION_STATS_FILE), "unix:/a#b c");
}

TEST_F(Config, BadItemsAreNamedWithTheirSource) {
  const struct {
    const char* item;
    const char* reason;
  } rows[] = {{"decay_ms:never", "not a number from 0 to 3600000"},
              {"DECAY_MS:1", "no such option"},
              {"decay_ms=1", "not name:value"},
              {"verbose", "not name:value"},
              {":1", "no such option"},
              {"verbose:", "not 0 or 1"},
              {"on_error:panic", "not one of abort, warn, ignore"},
              {"no_such:1", "no such option"}};
  for (const auto& row : rows) {
    const std::string ignored = std::string("hakmem: ignored ") + row.item;
    const std::string reason = std::string(": ") + row.reason + "\n";
    EXPECT_EQ(LoadPlaces(row.item, nullptr, {}), ignored + " in hak_conf" + reason);
    EXPECT_EQ(LoadPlaces(nullptr, row.item, {}), ignored + " in /etc/hakmem.conf" + reason);
    EXPECT_EQ(LoadPlaces(nullptr, nullptr, {std::string("HAKMEM_CONF=") + row.item}),
              ignored + " in HAKMEM_CONF" + reason);
    const std::string among = std::string("surplus_bytes:3,") + row.item + ",superslab_cache:4";
    EXPECT_EQ(LoadPlaces(among.c_str(), nullptr, {}), ignored + " in hak_conf" + reason);
    EXPECT_EQ(hak_config_get(HAK_OPTION_SURPLUS_BYTES), 3u);
    EXPECT_EQ(hak_config_get(HAK_OPTION_SUPERSLAB_CACHE), 4u);
  }
}

TEST_F(Config, WhatIsShownOfAComplaintFitsATerminal) {
  const std::string text = LoadPlaces((std::string(1000, 'n') + ":\x1b[2J").c_str(), nullptr, {});
  EXPECT_EQ(text, "hakmem: ignored " + std::string(40, 'n') + ":?[2J in hak_conf: no such option\n");
}

TEST_F(Config, LaterSourcesWin) {
  const char* linked = "decay_ms:1,surplus_bytes:1,superslab_cache:1,whale_cache_bytes:1,huge_pages:0";
  const char* file = "decay_ms: 2\nsurplus_bytes: 2\nsuperslab_cache: 2\nwhale_cache_bytes: 2\n";
  EXPECT_EQ(LoadPlaces(linked, file,
                       {"HAKMEM_DECAY_MS=4", "HAKMEM_CONF=decay_ms:3,surplus_bytes:3,superslab_cache:3",
                        "HAKMEM_SURPLUS_BYTES=4"}),
            "");
  EXPECT_EQ(hak_config_set("decay_ms", "5"), 0);
  const struct {
    hak_option option;
    uint64_t value;
    const char* source;
  } rows[] = {{HAK_OPTION_DECAY_MS, 5, "hak_option_set"},     {HAK_OPTION_SURPLUS_BYTES, 4, "environment"},
              {HAK_OPTION_SUPERSLAB_CACHE, 3, "HAKMEM_CONF"}, {HAK_OPTION_WHALE_CACHE_BYTES, 2, "/etc/hakmem.conf"},
              {HAK_OPTION_HUGE_PAGES, 0, "hak_conf"},         {HAK_OPTION_VERBOSE, 0, "default"}};
  for (const auto& row : rows) {
    EXPECT_EQ(hak_config_get(row.option), row.value) << row.source;
    EXPECT_EQ(SourceName(row.option), row.source);
  }
}

TEST_F(Config, ABadValueLeavesThatOfTheSourceBefore) {
  EXPECT_NE(LoadPlaces("decay_ms:1", "decay_ms: x", {"HAKMEM_DECAY_MS=y"}), "");
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 1u);
  EXPECT_EQ(SourceName(HAK_OPTION_DECAY_MS), "hak_conf");
}

TEST_F(Config, ASetUserIdProcessReadsTheFileAndWhatItWasBuiltWith) {
  EXPECT_EQ(LoadPlaces("decay_ms:1", "surplus_bytes: 2", {"HAKMEM_CONF=decay_ms:3", "HAKMEM_SURPLUS_BYTES=x"}, true),
            "");
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 1u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_SURPLUS_BYTES), 2u);
}

TEST_F(Config, ALongFileIsReadUpToAnEndOfALine) {
  std::string file = "decay_ms: 7\n" + std::string(16 * 1024 - 12 - 11, '#') + "\n"; /* 10 bytes are left */
  file += "decay_ms: 123\n";
  EXPECT_EQ(LoadPlaces(nullptr, file.c_str(), {}),
            "hakmem: ignored what comes after 16374 bytes of /etc/hakmem.conf\n");
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 7u);
  EXPECT_EQ(LoadPlaces(nullptr, std::string(20000, 'x').c_str(), {}),
            "hakmem: ignored what comes after 0 bytes of /etc/hakmem.conf\n");
}

TEST_F(Config, AFileThatCannotBeReadIsNone) {
  char* environment[] = {nullptr};
  for (const char* path : {"/no/such/file", "/", "", "/dev/null"}) {
    hak_config_reset_for_test();
    const hak_config_origin origin = {nullptr, path, environment, false};
    testing::internal::CaptureStderr();
    errno = 1234;
    EXPECT_TRUE(hak_config_load_from(&origin));
    EXPECT_EQ(errno, 1234);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << path;
  }
}

TEST_F(Config, SettingTellsWhatIsWrong) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(hak_config_set("decay_ms", "9"), 0);
  EXPECT_EQ(hak_config_set("decay_ms", "never"), EINVAL);
  EXPECT_EQ(hak_config_set("decay_ms", "3600001"), EINVAL);
  EXPECT_EQ(hak_config_set("DECAY_MS", "1"), ENOENT);
  EXPECT_EQ(hak_config_set("", "1"), ENOENT);
  EXPECT_EQ(hak_config_set("conf", "1"), ENOENT);
  EXPECT_EQ(hak_config_set("verbose", "1"), EPERM);
  EXPECT_EQ(hak_config_set("on_error", "ignore"), 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 9u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_VERBOSE), 0u);
  EXPECT_EQ(hak_get_error_action(), HAK_ERROR_IGNORE);
}

TEST_F(Config, WhatIsForTheStartCannotBeSetLater) {
  for (const WhenRow& row : kAll) {
    const std::string name = Lower(row.name);
    char text[256];
    ASSERT_EQ(hak_config_read(name.c_str(), text, sizeof text), 0);
    EXPECT_EQ(hak_config_set(name.c_str(), text), row.is_for_start ? EPERM : 0) << name; /* to what it is */
  }
}

TEST_F(Config, ReadingGivesWhatSettingTakes) {
  char out[256] = "as it was";
  EXPECT_EQ(hak_config_read("no_such", out, sizeof out), ENOENT);
  EXPECT_EQ(hak_config_read("decay_ms", out, 3), ERANGE);
  EXPECT_EQ(hak_config_read("decay_ms", out, 0), ERANGE);
  EXPECT_STREQ(out, "as it was");
  EXPECT_EQ(hak_config_read("decay_ms", out, 4), 0);
  EXPECT_STREQ(out, "500");
  EXPECT_EQ(hak_config_read("on_error", out, sizeof out), 0);
  EXPECT_STREQ(out, "abort");
  const std::string path(255, '\t');
  ASSERT_EQ(hak_config_set("stats_file", path.c_str()), 0);
  EXPECT_EQ(hak_config_read("stats_file", out, 255), ERANGE);
  EXPECT_EQ(hak_config_read("stats_file", out, 256), 0);
  EXPECT_EQ(out, path);
}

TEST_F(Config, ThreadsSetAndReadAtOnce) {
  std::atomic<bool> done{false};
  std::thread reader([&done] {
    while (!done) {
      const std::string text = hak_config_text(HAK_OPTION_STATS_FILE);
      if (!text.empty()) {
        EXPECT_EQ(text, std::string(text.size(), text[0]));
        EXPECT_EQ(text.size(), text[0] == 'a' ? 10u : 20u);
      }
      const uint64_t decay_ms = hak_config_get(HAK_OPTION_DECAY_MS);
      EXPECT_TRUE(decay_ms == 500 || decay_ms == 1 || decay_ms == 3600000) << decay_ms;
    }
  });
  std::vector<std::thread> writers;
  for (const bool is_first : {true, false}) {
    writers.emplace_back([is_first] {
      for (int i = 0; i < 200; i++) {
        const std::string text = is_first ? std::string(10, 'a') : std::string(20, 'b');
        EXPECT_EQ(hak_config_set("stats_file", text.c_str()), 0);
        EXPECT_EQ(hak_config_set("decay_ms", is_first ? "1" : "3600000"), 0);
        EXPECT_EQ(hak_config_set("on_error", is_first ? "warn" : "ignore"), 0);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  done = true;
  reader.join();
  EXPECT_EQ(hak_get_error_action(), static_cast<hak_error_action>(hak_config_get(HAK_OPTION_ON_ERROR)));
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
  EXPECT_FALSE(hak_config_load_as(nullptr, false));
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
