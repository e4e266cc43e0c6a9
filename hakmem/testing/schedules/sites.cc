#include "hakmem/testing/schedules/sites.h"

#include <string.h>

#include <algorithm>
#include <map>
#include <tuple>

// Set by the linker: the section of hook.h.
extern "C" hak_scheduled_site __start_hak_scheduled_sites[];
extern "C" hak_scheduled_site __stop_hak_scheduled_sites[];

namespace schedules {
namespace {

const char* const op_names[] = {"load", "store", "exchange", "fetch_or", "fetch_and", "fetch_add", "fetch_sub", "cas"};
const char* const order_names[] = {"relaxed", "acquire", "release", "acq_rel", "seq"};

// From the box on: paths differ between builds.
std::string ShortPath(const char* path) {
  const char* at = strstr(path, "hakmem/");
  return at == nullptr ? path : at + strlen("hakmem/");
}

// Documented as figures: docs/memory_order.md, last row.
bool IsFigure(const hak_scheduled_site& site) {
  if (site.given_order == HAK_ORDER_RELAXED &&
      (site.op == HAK_SCHEDULED_FETCH_ADD || site.op == HAK_SCHEDULED_FETCH_SUB)) {
    return true;
  }
  for (const char* word :
       {"counters.", "clock_ms", "freed_ms", "shape", "in_use", "heads", "sums", "surplus", "free_hints"}) {
    if (strstr(site.argument, word) != nullptr) return true;
  }
  return false;
}

// Two on one line lie in the section as the compiler likes.
bool IsBefore(const hak_scheduled_site* a, const hak_scheduled_site* b) {
  const std::string a_path = ShortPath(a->file), b_path = ShortPath(b->file);
  return std::tie(a_path, a->line, a->op) < std::tie(b_path, b->line, b->op);
}

std::vector<Ordering> Collect() {
  std::vector<hak_scheduled_site*> sites;
  for (hak_scheduled_site* site = __start_hak_scheduled_sites; site != __stop_hak_scheduled_sites; site++) {
    if (strstr(site->file, "testing/schedules") == nullptr) sites.push_back(site);
  }
  std::stable_sort(sites.begin(), sites.end(), IsBefore);
  std::vector<Ordering> out;
  std::map<std::string, int> last_line, times;
  for (hak_scheduled_site* site : sites) {
    std::string key =
        ShortPath(site->file) + " " + site->function + " " + op_names[site->op] + "(" + site->argument + ")";
    if (last_line.count(key) == 0 || last_line[key] != site->line) {
      last_line[key] = site->line;
      times[key]++;
      out.push_back({key + (times[key] == 1 ? "" : " #" + std::to_string(times[key])),
                     site->op,
                     site->given_order,
                     IsFigure(*site),
                     {}});
      out.back().sites.push_back(site);
      continue;
    }
    for (size_t i = out.size(); i-- > 0;) {
      if (out[i].sites[0]->line != site->line || out[i].sites[0]->op != site->op) continue;
      if (strcmp(out[i].sites[0]->argument, site->argument) != 0) continue;
      out[i].sites.push_back(site);
      break;
    }
  }
  return out;
}

}  // namespace

bool Ordering::WasSeen() const {
  return std::any_of(sites.begin(), sites.end(), [](const hak_scheduled_site* site) { return (site->seen & 1) != 0; });
}

void Ordering::ForgetSeen() {
  for (hak_scheduled_site* site : sites) site->seen &= ~1u;
}

void Ordering::Set(int order) {
  for (hak_scheduled_site* site : sites) site->order = order;
}

std::vector<Ordering>& AllOrderings() {
  static std::vector<Ordering> all = Collect();
  return all;
}

void MarkFigures() {
  for (Ordering& ordering : AllOrderings()) {
    for (hak_scheduled_site* site : ordering.sites) site->seen |= ordering.is_figure ? 2u : 0u;
  }
}

const char* OrderName(int order) { return order_names[order]; }

std::vector<int> WeakerOrders(int op, int order) {
  std::vector<int> out;
  const bool reads = op != HAK_SCHEDULED_STORE, writes = op != HAK_SCHEDULED_LOAD;
  if (order == HAK_ORDER_RELAXED) return out;
  if (reads && writes && order == HAK_ORDER_SEQ) out.push_back(HAK_ORDER_ACQ_REL);
  if (reads && order >= HAK_ORDER_ACQ_REL) out.push_back(HAK_ORDER_ACQUIRE);
  if (writes && order >= HAK_ORDER_ACQ_REL) out.push_back(HAK_ORDER_RELEASE);
  out.push_back(HAK_ORDER_RELAXED);
  return out;
}

bool WeakenByName(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos) return false;
  for (Ordering& ordering : AllOrderings()) {
    if (ordering.key != text.substr(0, equals)) continue;
    for (int order = 0; order <= HAK_ORDER_SEQ; order++) {
      if (text.substr(equals + 1) != order_names[order]) continue;
      ordering.Set(order);
      return true;
    }
  }
  return false;
}

}  // namespace schedules
