// The orderings in the sources of the boxes, and weaker ones in their place.
#ifndef HAKMEM_TESTING_SCHEDULES_SITES_H_
#define HAKMEM_TESTING_SCHEDULES_SITES_H_

#include <string>
#include <vector>

#include "hakmem/testing/schedules/site.h"

namespace schedules {

// One atomic operation in the source. An inline function has a record in each file that includes it.
struct Ordering {
  std::string key;  // file function operation(argument), and #2 for the second of that name in its function
  int op;
  int given_order;
  bool is_figure;
  std::vector<hak_scheduled_site*> sites;

  bool WasSeen() const;
  void ForgetSeen();
  void Set(int order);
};

// All of them, in the order of file and line.
std::vector<Ordering>& AllOrderings();
// Counters and the like, which order nothing, are not explored: their operations are done in passing.
void MarkFigures();
// The orders that an operation may have that are weaker than `order`, strongest first.
std::vector<int> WeakerOrders(int op, int order);
const char* OrderName(int order);
// "key=order". False: no such thing.
bool WeakenByName(const std::string& text);

}  // namespace schedules

#endif  // HAKMEM_TESTING_SCHEDULES_SITES_H_
