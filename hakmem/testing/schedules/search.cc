// Which schedules are run: every one, depth first and reduced; at random; one again.
#include <algorithm>
#include <random>

#include "hakmem/testing/schedules/explorer.h"

namespace schedules {

// --- depth first ---

/* What waits behind `earlier` in the depth-first search and commutes with what is done now need not be tried below it:
 * sleep sets. */
uint32_t Explorer::SleepOfChild(const Node& parent) const {
  const Brief& taken = parent.pending[parent.thread];
  uint32_t sleep = 0;
  for (size_t i = 0; i < runners_.size(); i++) {
    if ((parent.sleep >> i & 1) == 0) continue;
    const Brief& other = parent.pending[i];
    const bool commutes = other.location != taken.location || (other.is_read && taken.is_read);
    if (commutes) sleep |= 1u << i;
  }
  return sleep;
}

bool Explorer::ExtendStack(size_t depth, uint32_t enabled, int* thread, bool reduce) {
  Node node;
  node.enabled = enabled;
  node.sleep = depth == 0 || !reduce ? 0 : SleepOfChild(stack_[depth - 1]);
  node.choice = 0;
  for (size_t i = 0; i < runners_.size(); i++) {
    const Op& op = runners_[i]->pending;
    node.pending[i] = {op.location, IsRead(op)};
  }
  const uint32_t awake = enabled & ~node.sleep;
  if (awake == 0) return false;
  node.thread = __builtin_ctz(awake);
  if (depth != 0 && (awake >> stack_[depth - 1].thread & 1) != 0) node.thread = stack_[depth - 1].thread;
  node.backtrack = reduce ? 1u << node.thread : enabled;
  *thread = node.thread;
  stack_.push_back(node);
  return true;
}

/* Gives the event at `depth` its clock. */
void Explorer::RecordEvent(size_t depth) {
  Node& node = stack_[depth];
  const int thread = node.thread;
  const Brief brief = node.pending[thread];
  const size_t location = static_cast<size_t>(brief.location);
  if (accesses_.size() <= location) accesses_.resize(location + 1);
  if (depth >= fresh_from_) FindRaces(depth);
  uint32_t* clock = event_clock_[thread];
  std::vector<size_t>& events = accesses_[location];
  bool past_reads = false;
  for (size_t i = events.size(); i-- > 0 && !past_reads;) {
    const Node& other = stack_[events[i]];
    const bool other_is_read = other.pending[other.thread].is_read;
    past_reads = !other_is_read;
    if (brief.is_read && other_is_read) continue;
    for (int t = 0; t < kThreadsMax; t++) {
      if (clock[t] < other.clock[t]) clock[t] = other.clock[t];
    }
  }
  clock[thread] = ++event_count_[thread];
  for (int t = 0; t < kThreadsMax; t++) node.clock[t] = clock[t];
  events.push_back(depth);
}

/* Events that the one at `depth` could as well come before. */
void Explorer::FindRaces(size_t depth) {
  const Node& node = stack_[depth];
  const Brief brief = node.pending[node.thread];
  const std::vector<size_t>& events = accesses_[static_cast<size_t>(brief.location)];
  std::vector<size_t> found;
  for (size_t i = events.size(); i-- > 0;) {
    const Node& other = stack_[events[i]];
    const bool other_is_read = other.pending[other.thread].is_read;
    if (!(brief.is_read && other_is_read)) {
      const uint32_t number = other.clock[other.thread];
      bool is_covered = other.thread == node.thread || event_clock_[node.thread][other.thread] >= number;
      for (const size_t later : found) is_covered |= stack_[later].clock[other.thread] >= number;
      if (!is_covered) found.push_back(events[i]);
    }
    if (!other_is_read) break;
  }
  for (const size_t earlier : found) Reverse(earlier, depth);
}

/* Sees to it that a schedule is tried in which the event at `later` comes before that at `earlier`. */
void Explorer::Reverse(size_t earlier, size_t later) {
  Node& node = stack_[earlier];
  const uint32_t number = node.clock[node.thread];
  uint32_t seen = 0, initials = 0;
  std::vector<size_t> between; /* not behind `earlier` */
  for (size_t i = earlier + 1; i <= later; i++) {
    const Node& event = stack_[i];
    if (i != later && event.clock[node.thread] >= number) continue;
    between.push_back(i);
    if ((seen >> event.thread & 1) != 0) continue;
    seen |= 1u << event.thread;
    const uint32_t* clock = i == later ? event_clock_[event.thread] : event.clock;
    bool is_initial = true;
    for (const size_t before : between) {
      const Node& other = stack_[before];
      if (before == i) continue;
      is_initial &= clock[other.thread] < other.clock[other.thread];
      /* The event at `later` has no clock yet: it depends on what touches the same location. */
      const Brief& a = event.pending[event.thread];
      const Brief& b = other.pending[other.thread];
      if (i == later && a.location == b.location && !(a.is_read && b.is_read)) is_initial = false;
    }
    if (is_initial) initials |= 1u << event.thread;
  }
  if ((node.backtrack & initials) != 0) return;
  const uint32_t possible = node.enabled & initials;
  node.backtrack |= possible != 0 ? possible & -possible : node.enabled;
}

/* To the next branch that is still to be taken. False: none is left. */
bool Explorer::Backtrack() {
  while (!stack_.empty()) {
    Node& node = stack_.back();
    fresh_from_ = stack_.size() - 1;
    if (node.choice + 1 < node.choices) {
      node.choice++;
      return true;
    }
    node.sleep |= 1u << node.thread;
    const uint32_t left = node.backtrack & node.enabled & ~node.sleep;
    if (left != 0) {
      node.thread = __builtin_ctz(left);
      node.choice = 0;
      return true;
    }
    stack_.pop_back();
  }
  return false;
}

Result Explorer::Exhaust(uint64_t runs_max, bool reduce) {
  Result result;
  outcomes_ = &result.outcomes;
  stack_.clear();
  fresh_from_ = 0;
  do {
    for (auto& clock : event_clock_) std::fill(std::begin(clock), std::end(clock), 0u);
    std::fill(std::begin(event_count_), std::end(event_count_), 0u);
    for (auto& events : accesses_) events.clear();
    const RunEnd end = RunOnce(
        [&](size_t depth, uint32_t enabled, int* thread) {
          result.steps++;
          if (depth >= stack_.size()) return ExtendStack(depth, enabled, thread, reduce);
          *thread = stack_[depth].thread;
          return true;
        },
        [&](size_t depth, int choices) {
          stack_[depth].choices = choices;
          RecordEvent(depth);
          return stack_[depth].choice;
        });
    (end == RunEnd::kPruned ? result.pruned : result.runs)++;
    if (end == RunEnd::kFailed) {
      result.failed = true;
      result.failure = Explain();
      break;
    }
    result.complete = !Backtrack();
  } while (!result.complete && result.runs + result.pruned < runs_max);
  outcomes_ = nullptr;
  return result;
}

// --- at random, and again ---

Result Explorer::Walk(uint64_t seed, uint64_t runs) {
  Result result;
  outcomes_ = &result.outcomes;
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i < runs && !result.failed; i++) {
    /* Runs differ in how restless they are, and in how stale memory is. */
    const uint64_t switch_percent = random() % 4 * 30 + 5;
    const uint64_t stale_percent = random() % 3 * 25;
    int last = -1;
    const RunEnd end = RunOnce(
        [&](size_t, uint32_t enabled, int* thread) {
          result.steps++;
          if (last < 0 || (enabled >> last & 1) == 0 || random() % 100 < switch_percent) {
            uint32_t left = enabled;
            for (uint64_t skip = random() % static_cast<uint64_t>(__builtin_popcount(enabled)); skip > 0; skip--) {
              left &= left - 1;
            }
            last = __builtin_ctz(left);
          }
          *thread = last;
          return true;
        },
        [&](size_t, int choices) {
          return random() % 100 < stale_percent ? static_cast<int>(random() % static_cast<uint64_t>(choices)) : 0;
        });
    result.runs++;
    if (end != RunEnd::kFailed) continue;
    result.failed = true;
    result.failure = Explain();
  }
  outcomes_ = nullptr;
  return result;
}

Result Explorer::Replay(const std::string& schedule) {
  Result result;
  size_t at = 0;
  bool fits = true;
  tracing_ = true;
  const RunEnd end = RunOnce(
      [&](size_t, uint32_t enabled, int* thread) {
        /* Behind the end of the string whatever comes first. */
        *thread = __builtin_ctz(enabled);
        if (at == schedule.size()) return true;
        *thread = schedule[at++] - 'a';
        fits = *thread >= 0 && *thread < kThreadsMax && (enabled >> *thread & 1) != 0;
        return fits;
      },
      [&](size_t, int choices) {
        int choice = 0;
        while (at < schedule.size() && schedule[at] >= '0' && schedule[at] <= '9') {
          choice = choice * 10 + (schedule[at++] - '0');
        }
        return choice < choices ? choice : 0;
      });
  tracing_ = false;
  result.runs = 1;
  result.failed = end == RunEnd::kFailed || !fits;
  result.failure = {fits ? failure_ : "the schedule does not fit this scenario", schedule_, trace_};
  if (end == RunEnd::kFinished) result.failure.what.clear();
  return result;
}

/* The failure that has just come up, with the story of the run. */
Failure Explorer::Explain() {
  std::set<std::string>* const outcomes = outcomes_;
  outcomes_ = nullptr;
  const std::string what = failure_;
  const std::string schedule = schedule_;
  Failure failure = Replay(schedule).failure;
  outcomes_ = outcomes;
  if (failure.what != what) failure.what = what + " (again: " + failure.what + ")";
  return failure;
}

}  // namespace schedules
