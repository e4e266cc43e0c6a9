#include "hakmem/ctl/ctl.h"

#include <errno.h>
#include <string.h>

#include <sstream>
#include <string>

#include "hakmem/config/config.h"
#include "hakmem/os/latency.h"

#include "gtest/gtest.h"

namespace {

size_t TrimAll() { return 111; }
size_t TrimThread() { return 22; }
const hak_ctl_actions kActions = {TrimAll, TrimThread};

int Read(const char* name, uint64_t* value) {
  size_t size = sizeof *value;
  const int error = hak_ctl_access(&kActions, name, value, &size, nullptr, 0);
  if (error == 0) {
    EXPECT_EQ(size, sizeof *value) << name;
  }
  return error;
}

int Write(const char* name, uint64_t value) {
  return hak_ctl_access(&kActions, name, nullptr, nullptr, &value, sizeof value);
}

std::string Text(const char* name) {
  char text[300];
  size_t size = sizeof text;
  EXPECT_EQ(hak_ctl_access(&kActions, name, text, &size, nullptr, 0), 0) << name;
  EXPECT_EQ(size, strlen(text) + 1);
  return text;
}

int WriteText(const char* name, const char* text) {
  return hak_ctl_access(&kActions, name, nullptr, nullptr, text, strlen(text) + 1);
}

std::string Names() {
  std::string out;
  hak_ctl_list(
      [](void* context, const char* text, size_t length) { static_cast<std::string*>(context)->append(text, length); },
      &out);
  return out;
}

class Ctl : public testing::Test {
 protected:
  void TearDown() override {
    hak_config_reset_for_test();
    hak_latency_switch(false);
  }
};

TEST_F(Ctl, EachNameOfTheListDoesWhatTheListSays) {
  std::istringstream lines(Names());
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string name, how, kind, meaning;
    words >> name >> how >> kind >> meaning;
    EXPECT_FALSE(meaning.empty()) << line;
    const size_t hole = name.find("<n>");
    if (hole != std::string::npos) name.replace(hole, 3, name.find("bins") != std::string::npos ? "64" : "0");
    if (name.find("threads.") != std::string::npos) continue; /* none here has allocated */
    char value[300];
    size_t size = sizeof value;
    const int read = hak_ctl_access(&kActions, name.c_str(), value, &size, nullptr, 0);
    EXPECT_EQ(read, how == "w" ? EPERM : 0) << line;
    if (read == 0 && kind == "number") {
      EXPECT_EQ(size, sizeof(uint64_t)) << line;
    }
    if (how == "r") {
      EXPECT_EQ(Write(name.c_str(), 1), EPERM) << line;
    }
    count++;
  }
  EXPECT_GT(count, 80);
}

TEST_F(Ctl, NoOtherNames) {
  uint64_t value;
  for (const char* name : {"",
                           "stats",
                           "stats.",
                           "stats.no_such",
                           "stats.bins.64",
                           "stats.bins.64.",
                           "stats.bins.63.live",
                           "stats.bins.99999999999999999999999.live",
                           "stats.bins.x.live",
                           "stats.bins.64.liveX",
                           "stats.threads.0",
                           "stats.threads.1000000.refills",
                           "stats.locks.pool",
                           "stats.locks.pool.x",
                           "stats.latency.map",
                           "stats.latency.map.mean",
                           "options.",
                           "options.no_such",
                           "epochs",
                           "Epoch"}) {
    EXPECT_EQ(Read(name, &value), ENOENT) << name;
    EXPECT_EQ(Write(name, 1), ENOENT) << name;
  }
  EXPECT_EQ(hak_ctl_access(&kActions, nullptr, nullptr, nullptr, nullptr, 0), ENOENT);
}

TEST_F(Ctl, FiguresStayUntilTheNextEpoch) {
  uint64_t epoch, first, second, later;
  ASSERT_EQ(Write("epoch", 1), 0);
  ASSERT_EQ(Read("epoch", &epoch), 0);
  ASSERT_EQ(Read("stats.minor_faults", &first), 0);
  std::string touched(8 << 20, 'x');
  ASSERT_EQ(Read("stats.minor_faults", &second), 0);
  EXPECT_EQ(first, second);
  ASSERT_EQ(Write("epoch", 0), 0);
  ASSERT_EQ(Read("stats.minor_faults", &later), 0);
  EXPECT_GT(later, second) << touched.size();
  ASSERT_EQ(Read("epoch", &second), 0);
  EXPECT_EQ(second, epoch + 1);
}

TEST_F(Ctl, OptionsAreTextBothWays) {
  EXPECT_EQ(Text("options.decay_ms"), "500");
  EXPECT_EQ(WriteText("options.decay_ms", "250"), 0);
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 250u);
  char before[16];
  size_t size = sizeof before;
  EXPECT_EQ(hak_ctl_access(&kActions, "options.decay_ms", before, &size, "0", 2), 0);
  EXPECT_STREQ(before, "250") << "the value before";
  EXPECT_EQ(WriteText("options.decay_ms", "never"), EINVAL);
  EXPECT_EQ(WriteText("options.verbose", "1"), EPERM) << "for the start only";
  EXPECT_EQ(hak_ctl_access(&kActions, "options.decay_ms", nullptr, nullptr, "25", 2), EINVAL) << "no NUL byte";
  EXPECT_EQ(hak_ctl_access(&kActions, "options.decay_ms", nullptr, nullptr, "", 0), EINVAL);
  EXPECT_EQ(Text("options.decay_ms"), "0");
}

TEST_F(Ctl, ActionsGiveBackBytes) {
  uint64_t bytes = 0, any = 1;
  size_t size = sizeof bytes;
  EXPECT_EQ(hak_ctl_access(&kActions, "trim", &bytes, &size, &any, sizeof any), 0);
  EXPECT_EQ(bytes, 111u);
  EXPECT_EQ(hak_ctl_access(&kActions, "thread.trim", &bytes, &size, &any, sizeof any), 0);
  EXPECT_EQ(bytes, 22u);
  EXPECT_EQ(hak_ctl_access(&kActions, "trim", nullptr, nullptr, &any, 4), EINVAL);
  EXPECT_EQ(Read("trim", &bytes), EPERM);
}

TEST_F(Ctl, TooLittleRoomSaysHowMuchItTakes) {
  char text[2];
  size_t size = sizeof text;
  EXPECT_EQ(hak_ctl_access(&kActions, "version", text, &size, nullptr, 0), EINVAL);
  EXPECT_EQ(size, sizeof HAK_VERSION_TEXT);
  size = 4;
  EXPECT_EQ(hak_ctl_access(&kActions, "stats.live_bytes", text, &size, nullptr, 0), EINVAL);
  EXPECT_EQ(size, sizeof(uint64_t));
  size = 1000;
  EXPECT_EQ(hak_ctl_access(&kActions, "epoch", nullptr, &size, nullptr, 0), EINVAL) << "the size alone is asked for";
  EXPECT_EQ(size, sizeof(uint64_t));
  EXPECT_EQ(hak_ctl_access(&kActions, "epoch", text, nullptr, nullptr, 0), EINVAL);
}

TEST_F(Ctl, TimingIsSwitchedByName) {
  uint64_t value;
  EXPECT_EQ(Write("latency.enabled", 2), EINVAL);
  EXPECT_EQ(Write("latency.enabled", 1), 0);
  EXPECT_TRUE(hak_latency_is_switched_on());
  EXPECT_EQ(Read("latency.enabled", &value), 0);
  EXPECT_EQ(value, 1u);
  errno = 55;
  EXPECT_EQ(Write("latency.enabled", 0), 0);
  EXPECT_EQ(errno, 55);
  EXPECT_FALSE(hak_latency_is_switched_on());
}

}  // namespace
