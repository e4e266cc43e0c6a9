// Which weaker orderings the scenarios notice, as a table: orderings.txt.
#ifndef HAKMEM_TESTING_SCHEDULES_ORDERINGS_H_
#define HAKMEM_TESTING_SCHEDULES_ORDERINGS_H_

#include <stdint.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "hakmem/testing/schedules/sites.h"

namespace schedules {

// One line: what is weakened to what, and the scenario that fails then, or why none does.
struct OrderingLine {
  std::string key, from, to;
  std::string scenario;  // empty: not caught
  std::string reason;
};

std::string Format(const OrderingLine& line);
// False where the text is no line of the table.
bool ParseLine(const std::string& text, OrderingLine* out);
// Lines that start with # are comments.
std::vector<OrderingLine> ParseTable(const std::string& text);

// Names of the scenarios that come by each ordering, by key; the shortest first.
using SeenBy = std::map<std::string, std::vector<std::string>>;
SeenBy FindSeen(uint64_t runs);

// The first scenario that fails with the ordering weakened, of those that come by it; empty: none within so many runs,
// half of them in turn and half at random. `first` is tried before the others, with runs_max_first.
std::string Catch(Ordering* ordering, int order, const SeenBy& seen_by, uint64_t runs, const std::string& first,
                  uint64_t runs_first);

// What the table has to hold: every weaker order of every ordering that is no figure.
std::vector<OrderingLine> WholeTable();

}  // namespace schedules

#endif  // HAKMEM_TESTING_SCHEDULES_ORDERINGS_H_
