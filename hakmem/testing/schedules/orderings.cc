#include "hakmem/testing/schedules/orderings.h"

#include <sstream>

#include "hakmem/testing/schedules/scenarios.h"

namespace schedules {
namespace {

constexpr char kSeparator[] = " | ";

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t next; (next = text.find(kSeparator, at)) != std::string::npos; at = next + 3) {
    out.push_back(text.substr(at, next - at));
  }
  out.push_back(text.substr(at));
  return out;
}

const NamedScenario* FindScenario(const std::string& name) {
  for (const NamedScenario& named : AllScenarios()) {
    if (name == named.name) return &named;
  }
  return nullptr;
}

bool Fails(const NamedScenario& named, uint64_t runs) {
  Explorer explorer(named.set_up);
  if (explorer.Exhaust(runs / 2).failed) return true;
  return explorer.Walk(1, runs / 2).failed;
}

}  // namespace

std::string Format(const OrderingLine& line) {
  std::string out = line.key + kSeparator + line.from + " -> " + line.to + kSeparator;
  return out + (line.scenario.empty() ? "not caught: " + line.reason : line.scenario);
}

bool ParseLine(const std::string& text, OrderingLine* out) {
  const std::vector<std::string> parts = Split(text);
  if (parts.size() != 3) return false;
  const size_t arrow = parts[1].find(" -> ");
  if (arrow == std::string::npos) return false;
  const std::string not_caught = "not caught: ";
  *out = {parts[0], parts[1].substr(0, arrow), parts[1].substr(arrow + 4), "", ""};
  if (parts[2].compare(0, not_caught.size(), not_caught) == 0) {
    out->reason = parts[2].substr(not_caught.size());
  } else {
    out->scenario = parts[2];
  }
  return true;
}

std::vector<OrderingLine> ParseTable(const std::string& text) {
  std::vector<OrderingLine> out;
  std::istringstream lines(text);
  OrderingLine line;
  for (std::string raw; std::getline(lines, raw);) {
    if (!raw.empty() && raw[0] != '#' && ParseLine(raw, &line)) out.push_back(line);
  }
  return out;
}

SeenBy FindSeen(uint64_t runs) {
  MarkFigures();
  std::map<std::string, std::multimap<uint64_t, std::string>> by_cost;
  for (const NamedScenario& named : AllScenarios()) {
    for (Ordering& ordering : AllOrderings()) ordering.ForgetSeen();
    Explorer explorer(named.set_up);
    const uint64_t steps = explorer.Exhaust(runs / 2).steps;
    explorer.Walk(1, runs / 2);
    for (const Ordering& ordering : AllOrderings()) {
      if (ordering.WasSeen()) by_cost[ordering.key].insert({steps, named.name});
    }
  }
  SeenBy out;
  for (const auto& entry : by_cost) {
    for (const auto& scenario : entry.second) out[entry.first].push_back(scenario.second);
  }
  return out;
}

std::string Catch(Ordering* ordering, int order, const SeenBy& seen_by, uint64_t runs, const std::string& first,
                  uint64_t runs_first) {
  std::string out;
  ordering->Set(order);
  const NamedScenario* const named = FindScenario(first);
  if (named != nullptr && Fails(*named, runs_first)) out = first;
  const auto seen = seen_by.find(ordering->key);
  if (out.empty() && seen != seen_by.end()) {
    for (const std::string& name : seen->second) {
      if (name == first || !Fails(*FindScenario(name), runs)) continue;
      out = name;
      break;
    }
  }
  ordering->Set(ordering->given_order);
  return out;
}

std::vector<OrderingLine> WholeTable() {
  std::vector<OrderingLine> out;
  for (const Ordering& ordering : AllOrderings()) {
    if (ordering.is_figure) continue;
    for (const int order : WeakerOrders(ordering.op, ordering.given_order)) {
      out.push_back({ordering.key, OrderName(ordering.given_order), OrderName(order), "", ""});
    }
  }
  return out;
}

}  // namespace schedules
