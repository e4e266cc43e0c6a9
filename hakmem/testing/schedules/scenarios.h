// The scenarios: a few threads each, on the real sources of the boxes.
#ifndef HAKMEM_TESTING_SCHEDULES_SCENARIOS_H_
#define HAKMEM_TESTING_SCHEDULES_SCENARIOS_H_

#include <vector>

#include "hakmem/testing/schedules/explorer.h"

namespace schedules {

struct NamedScenario {
  const char* name;
  const char* what;
  Scenario (*set_up)();
  // There are so few schedules that the test runs them all. Of the others it runs a sample, and `explore` as many as
  // there is time for.
  bool exhaustive;
};

const std::vector<NamedScenario>& AllScenarios();

// The parts of the list, by file.
std::vector<NamedScenario> RemoteFreeScenarios();
std::vector<NamedScenario> CompleteScenarios();
std::vector<NamedScenario> OwnerScenarios();
std::vector<NamedScenario> UnitScenarios();
std::vector<NamedScenario> BaseScenarios();

}  // namespace schedules

#endif  // HAKMEM_TESTING_SCHEDULES_SCENARIOS_H_
