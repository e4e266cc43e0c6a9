// Explores schedules for as long as it is told: bazel run //hakmem/testing/schedules:explore -- --help
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>

#include "hakmem/testing/schedules/orderings.h"
#include "hakmem/testing/schedules/scenarios.h"
#include "hakmem/testing/schedules/sites.h"

namespace {

using schedules::Explorer;
using schedules::NamedScenario;
using schedules::Result;

const char usage[] =
    "usage: explore [--scenario NAME] [--seconds N] [--seed N] [--random] [--replay SCHEDULE] [--weaken KEY=ORDER]\n"
    "       explore --orderings FILE\n"
    "\n"
    "  --scenario NAME     one of the scenarios below; all by default\n"
    "  --seconds N         a scenario's share of time; 10 by default\n"
    "  --random            random schedules from the start, not every one in turn\n"
    "  --seed N            of the random schedules\n"
    "  --replay SCHEDULE   one schedule, as a failure prints it, with all its steps\n"
    "  --weaken KEY=ORDER  with an ordering weakened: a key of orderings.txt; relaxed, acquire, release, acq_rel\n"
    "  --orderings FILE    renews the table of weakened orderings, and keeps the reasons in it; minutes\n"
    "\n";

struct Options {
  std::string scenario, replay, orderings;
  double seconds = 10;
  uint64_t seed = 1;
  bool random = false;
  bool help = false;
};

bool Parse(int argc, char** argv, Options* out) {
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (word == "--random") {
      out->random = true;
      continue;
    }
    if (value == nullptr) return false;
    i++;
    if (word == "--scenario") {
      out->scenario = value;
    } else if (word == "--seconds") {
      out->seconds = atof(value);
    } else if (word == "--seed") {
      out->seed = strtoull(value, nullptr, 10);
    } else if (word == "--replay") {
      out->replay = value;
    } else if (word == "--orderings") {
      out->orderings = value;
    } else if (word == "--weaken") {
      if (!schedules::WeakenByName(value)) return fprintf(stderr, "no such ordering: %s\n", value), false;
    } else {
      return false;
    }
  }
  return true;
}

// Every schedule until time is up, then random ones; in slices, since a search cannot be interrupted.
bool Explore(const NamedScenario& named, const Options& options) {
  Explorer explorer(named.set_up);
  schedules::MarkFigures();
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  Result total;
  if (!options.replay.empty()) {
    total = explorer.Replay(options.replay);
    printf("%s", total.failure.trace.c_str());
  } else if (!options.random) {
    uint64_t runs_max = 2000;
    do {
      total = explorer.Exhaust(runs_max);
      runs_max *= 4;
    } while (!total.failed && !total.complete && seconds() < options.seconds / 3);
  }
  if (options.replay.empty() && !total.failed && !total.complete) {
    for (uint64_t seed = options.seed; !total.failed && seconds() < options.seconds; seed++) {
      const Result more = explorer.Walk(seed, 500);
      total.runs += more.runs;
      total.steps += more.steps;
      total.failed = more.failed;
      total.failure = more.failure;
    }
  }
  printf("%-18s %9llu runs %9llu pruned %11llu steps %7.2f s  %s\n", named.name,
         static_cast<unsigned long long>(total.runs), static_cast<unsigned long long>(total.pruned),
         static_cast<unsigned long long>(total.steps), seconds(),
         total.failed     ? "FAILED"
         : total.complete ? "every schedule"
                          : "a sample");
  if (total.failed) {
    printf("\n%s%s\n--scenario %s --replay %s\n\n", total.failure.trace.c_str(), total.failure.what.c_str(), named.name,
           total.failure.schedule.c_str());
  }
  fflush(stdout);
  return !total.failed;
}

// Deep: what is not caught here may be called so.
int RenewOrderings(const std::string& path) {
  std::stringstream old_text;
  old_text << std::ifstream(path).rdbuf();
  std::string head;
  for (std::string line; std::getline(old_text, line) && !line.empty() && line[0] == '#';) head += line + "\n";
  std::map<std::string, schedules::OrderingLine> old;
  for (const auto& line : schedules::ParseTable(old_text.str())) old[line.key + line.to] = line;
  const schedules::SeenBy seen_by = schedules::FindSeen(2000);
  std::string out;
  std::vector<schedules::OrderingLine> table = schedules::WholeTable();
  size_t at = 0;
  for (schedules::Ordering& ordering : schedules::AllOrderings()) {
    if (ordering.is_figure) continue;
    for (const int order : schedules::WeakerOrders(ordering.op, ordering.given_order)) {
      schedules::OrderingLine& line = table[at++];
      const schedules::OrderingLine before = old[line.key + line.to];
      line.scenario = schedules::Catch(&ordering, order, seen_by, 6000, before.scenario, 60000);
      line.reason = before.reason;
      if (line.reason.empty()) line.reason = seen_by.count(line.key) == 0 ? "UNSEEN" : "WHY?";
      out += schedules::Format(line) + "\n";
      printf("%s\n", schedules::Format(line).c_str());
      fflush(stdout);
    }
  }
  std::ofstream(path) << head << out;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, &options)) {
    fputs(usage, stderr);
    for (const NamedScenario& named : schedules::AllScenarios())
      fprintf(stderr, "  %-18s %s\n", named.name, named.what);
    return 2;
  }
  if (!options.orderings.empty()) return RenewOrderings(options.orderings);
  bool ok = true, found = false;
  for (const NamedScenario& named : schedules::AllScenarios()) {
    if (!options.scenario.empty() && options.scenario != named.name) continue;
    found = true;
    ok &= Explore(named, options);
  }
  if (!found) fprintf(stderr, "no such scenario\n");
  return ok && found ? 0 : 1;
}
