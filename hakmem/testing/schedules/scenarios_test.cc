// Every scenario, on the sources as they are: every schedule where there are few enough, else a fixed sample.
#include "hakmem/testing/schedules/scenarios.h"

#include "hakmem/testing/schedules/sites.h"

#include "gtest/gtest.h"

namespace schedules {
namespace {

class Scenarios : public testing::TestWithParam<NamedScenario> {};

TEST_P(Scenarios, HoldInEverySchedule) {
  const NamedScenario& named = GetParam();
  MarkFigures();
  Explorer explorer(named.set_up);
  Result result = explorer.Exhaust(named.exhaustive ? 200000 : 2000);
  EXPECT_EQ(result.complete, named.exhaustive) << "of those that the list says to be few";
  if (!result.failed && !result.complete) result = explorer.Walk(1, 1000);
  EXPECT_FALSE(result.failed) << result.failure.trace << result.failure.what << "\n--scenario " << named.name
                              << " --replay " << result.failure.schedule;
}

INSTANTIATE_TEST_SUITE_P(All, Scenarios, testing::ValuesIn(AllScenarios()),
                         [](const testing::TestParamInfo<NamedScenario>& tested) { return tested.param.name; });

const NamedScenario& Find(const std::string& name) {
  for (const NamedScenario& named : AllScenarios()) {
    if (name == named.name) return named;
  }
  ADD_FAILURE() << "no scenario " << name;
  return AllScenarios()[0];
}

// The reduction skips schedules, never a state in which the threads can leave the boxes.
TEST(Reduction, LosesNoOutcome) {
  MarkFigures();
  Explorer explorer(Find("publish_twice").set_up);
  const Result reduced = explorer.Exhaust(1000);
  const Result all = explorer.Exhaust(1000000, false);
  EXPECT_TRUE(reduced.complete);
  EXPECT_TRUE(all.complete);
  EXPECT_GT(all.runs, 100 * reduced.runs);
  EXPECT_GT(all.outcomes.size(), 3u);
  EXPECT_EQ(reduced.outcomes, all.outcomes);
}

// A thousand runs leave nothing behind in the boxes.
TEST(Explorer, UndoesWhatRunsDo) {
  for (int i = 0; i < 2; i++) {
    Explorer explorer(Find("release").set_up);
    const Result once = explorer.Exhaust(100000);
    const Result again = explorer.Exhaust(100000);
    EXPECT_TRUE(once.complete);
    EXPECT_EQ(once.runs, again.runs);
    EXPECT_EQ(once.steps, again.steps);
    EXPECT_EQ(once.outcomes, again.outcomes);
  }
}

}  // namespace
}  // namespace schedules
