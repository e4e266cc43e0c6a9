// Weakens every ordering of the boxes, one at a time, and compares with the table which scenario notices.
#include "hakmem/testing/schedules/orderings.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "hakmem/testing/schedules/scenarios.h"

#include "gtest/gtest.h"

namespace schedules {
namespace {

constexpr char kTable[] = "hakmem/testing/schedules/orderings.txt";
constexpr char kRenew[] =
    "bazel run //hakmem/testing/schedules:explore -- --orderings $PWD/hakmem/testing/schedules/orderings.txt";

std::vector<OrderingLine> ReadTable() {
  std::stringstream text;
  text << std::ifstream(kTable).rdbuf();
  return ParseTable(text.str());
}

Ordering* Find(const std::string& key) {
  for (Ordering& ordering : AllOrderings()) {
    if (ordering.key == key) return &ordering;
  }
  return nullptr;
}

int OrderByName(const std::string& name) {
  for (int order = 0; order <= HAK_ORDER_SEQ; order++) {
    if (name == OrderName(order)) return order;
  }
  return -1;
}

TEST(Orderings, TheTableHasEveryOrderingOfTheSources) {
  std::vector<std::string> expected, found;
  for (const OrderingLine& line : WholeTable()) expected.push_back(line.key + ": " + line.from + " -> " + line.to);
  for (const OrderingLine& line : ReadTable()) found.push_back(line.key + ": " + line.from + " -> " + line.to);
  EXPECT_EQ(found, expected) << "renew it with\n" << kRenew;
}

TEST(Orderings, WhatIsNotCaughtHasAReason) {
  for (const OrderingLine& line : ReadTable()) {
    EXPECT_TRUE(!line.scenario.empty() || line.reason.size() > 10) << Format(line);
  }
}

TEST(Orderings, WeakenedOnesAreCaughtAsTheTableSays) {
  MarkFigures();
  for (const OrderingLine& line : ReadTable()) {
    Ordering* ordering = Find(line.key);
    if (ordering == nullptr || line.scenario.empty()) continue;
    EXPECT_EQ(Catch(ordering, OrderByName(line.to), {}, 0, line.scenario, 60000), line.scenario) << Format(line);
  }
}

// A short look only: a scenario that begins to catch one is found when the table is renewed.
TEST(Orderings, OthersAreNot) {
  const SeenBy seen_by = FindSeen(400);
  for (const OrderingLine& line : ReadTable()) {
    Ordering* ordering = Find(line.key);
    if (ordering == nullptr || !line.scenario.empty()) continue;
    EXPECT_EQ(Catch(ordering, OrderByName(line.to), seen_by, 40, "", 0), "")
        << Format(line) << "\nrenew with " << kRenew;
  }
}

// The last column of its table, without which a row says nothing of how it is checked.
TEST(Contract, NamesEveryScenarioAndNoOther) {
  std::set<std::string> named, known;
  for (const NamedScenario& scenario : AllScenarios()) known.insert(scenario.name);
  std::ifstream page("docs/memory_order.md");
  for (std::string line; std::getline(page, line);) {
    const size_t end = line.rfind(" |"), start = line.rfind("| ", end - 1);
    if (line.empty() || line[0] != '|' || line[1] == '-' || end == std::string::npos) continue;
    const std::string column = line.substr(start + 2, end - start - 2);
    if (column == "scenarios" || column.compare(0, 4, "none") == 0) continue;
    for (size_t at = 0; at < column.size();) {
      const size_t length = std::min(column.find_first_of(",; ", at), column.size()) - at;
      if (length != 0) named.insert(column.substr(at, length));
      at += length + 1;
    }
  }
  EXPECT_EQ(named, known);
}

// The pairs that docs/memory_order.md argues for, whatever the table says.
TEST(Orderings, ThoseOfTheArgumentsAreCaught) {
  const std::string remote = "remote_free/remote_free.c ", units = "shared_pool/units.c ";
  const std::pair<std::string, const char*> needed[] = {
      {remote + "publish fetch_or(&slab->remote_bits[word])", "P1"},
      {remote + "publish load(&slab->pending)", "P2, M2"},
      {remote + "hak_remote_free_drain exchange(&slab->pending)", "C1"},
      {remote + "collect_bits load(&slab->remote_bits[i])", "C2"},
      {remote + "notify_owner exchange(&slab->pending) #2", "N3"},
      {remote + "notify_owner load(&slab->mailbox) #2", "N4"},
      {remote + "hak_remote_free_drain load(&slab->mailbox)", "N4 of a drain"},
      {"shared_pool/shared_pool.c set_owner store(&slab->mailbox)", "M0"},
      {remote + "push_to_mailbox cas(&mailbox->head)", "push"},
      {remote + "hak_remote_free_drain exchange(&mailbox->head)", "drain"},
      {units + "hak_units_free fetch_or(&superslab->free_units)", "release of units"},
      {units + "claim_units cas(&superslab->free_units)", "claim"},
      {units + "open_superslab store(&superslab->free_units)", "opening"},
      {"shared_pool/tiers.c hak_tiers_refresh load(&superslab->free_units)", "tier index"},
  };
  const std::vector<OrderingLine> table = ReadTable();
  for (const auto& [key, name] : needed) {
    const bool caught = std::any_of(table.begin(), table.end(), [key = key](const OrderingLine& line) {
      return line.key == key && line.to == "relaxed" && !line.scenario.empty();
    });
    EXPECT_TRUE(caught) << name << ": " << key;
  }
}

}  // namespace
}  // namespace schedules
