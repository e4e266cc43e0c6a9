#include "hakmem/testing/schedules/explorer.h"

#include <stdio.h>
#include <stdlib.h>

namespace schedules {
namespace {

/* A run that is longer than this does not end. */
constexpr size_t kStepsMax = 4000;

Explorer* active_explorer;
thread_local char thread_local_anchor;

/* Thread-local variables of the boxes belong to the one thread of the system that all fibers run on. */
bool IsThreadLocal(const void* address) {
  const uintptr_t distance =
      reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(&thread_local_anchor) + 4096;
  return distance < 8192;
}

}  // namespace

Explorer* Explorer::active() { return active_explorer; }

Explorer::Explorer(const std::function<Scenario()>& set_up) {
  if (active_explorer != nullptr) abort();
  active_explorer = this;
  plain_hook = [](const void* address, uint32_t bytes, bool is_write) {
    active_explorer->OnPlainAccess(address, bytes, is_write);
  };
  Aside([&] { scenario_ = set_up(); });
  if (failed_ || scenario_.threads.size() > kThreadsMax) {
    fprintf(stderr, "schedules: set-up: %s\n", failed_ ? failure_.c_str() : "too many threads");
    abort();
  }
  plain_.KeepWrites();
  for (size_t i = 0; i < scenario_.threads.size(); i++) {
    runners_.push_back(std::make_unique<Runner>());
    runners_.back()->explorer = this;
    runners_.back()->index = static_cast<int>(i);
  }
}

Explorer::~Explorer() {
  plain_.Reset();
  memory_.Clear();
  plain_.UndoKept();
  plain_hook = [](const void*, uint32_t, bool) {};
  active_explorer = nullptr;
}

// --- threads ---

void Explorer::RunBody(void* argument) {
  Runner* runner = static_cast<Runner*>(argument);
  runner->explorer->scenario_.threads[static_cast<size_t>(runner->index)].body();
  runner->state = State::kFinished;
  runner->fiber.Leave();
}

void Explorer::RunAside(void* argument) {
  Explorer* explorer = static_cast<Explorer*>(argument);
  explorer->aside_work_();
  explorer->aside_.Leave();
}

/* Work outside of the exploration has a fiber too, so that a failure inside it can be left. */
void Explorer::Aside(const std::function<void()>& work) {
  aside_work_ = work;
  is_aside_ = true;
  aside_.Prepare(RunAside, this);
  aside_.Resume();
  is_aside_ = false;
}

void Explorer::StartThreads() {
  plain_.Reset();
  memory_.Reset();
  failed_ = false;
  schedule_.clear();
  trace_.clear();
  Aside(scenario_.begin);
  for (auto& runner : runners_) {
    runner->state = State::kPending;
    runner->last_read = -1;
    runner->impatient = false;
    runner->fiber.Prepare(RunBody, runner.get());
    running_ = runner->index;
    runner->fiber.Resume();
    running_ = -1;
    if (failed_) return;
  }
}

bool Explorer::IsEnabled(const Runner& runner) {
  if (runner.state == State::kFinished || runner.state == State::kAsleep) return false;
  if (runner.state == State::kAwake || runner.pending.kind != HAK_SCHEDULED_AWAIT) return true;
  return scenario_.spins_lose_patience || memory_.HasNewer(runner.index, runner.pending.location);
}

uint32_t Explorer::Enabled() {
  uint32_t enabled = 0;
  for (const auto& runner : runners_) enabled |= (IsEnabled(*runner) ? 1u : 0u) << runner->index;
  return enabled;
}

int Explorer::CountChoices(Runner* runner) {
  const Op& op = runner->pending;
  if (runner->state == State::kAwake || op.kind == HAK_SCHEDULED_AWAIT || op.kind == HAK_SCHEDULED_SLEEP) return 1;
  if (op.kind != HAK_SCHEDULED_WAKE) return memory_.Choices(runner->index, op);
  int sleepers = 0;
  for (const auto& other : runners_) {
    sleepers += other->state == State::kAsleep && other->pending.location == op.location ? 1 : 0;
  }
  return sleepers == 0 ? 1 : sleepers;
}

void Explorer::PerformSleepOrWake(Runner* runner, int choice) {
  const Op& op = runner->pending;
  if (op.kind == HAK_SCHEDULED_SLEEP) {
    if (runner->state != State::kAwake && memory_.Newest(op.location) == op.expected) runner->state = State::kAsleep;
    return;
  }
  for (auto& other : runners_) {
    if (other->state != State::kAsleep || other->pending.location != op.location) continue;
    if (choice-- == 0) other->state = State::kAwake;
  }
}

/* The thread does what it was about to do, and goes on to the next operation. */
void Explorer::Step(Runner* runner, int choice) {
  const Op op = runner->pending;
  runner->effect = Effect();
  if (op.kind == HAK_SCHEDULED_AWAIT) {
    runner->impatient = !memory_.HasNewer(runner->index, op.location);
    memory_.Advance(runner->index, op.location);
  } else if (op.kind == HAK_SCHEDULED_SLEEP || op.kind == HAK_SCHEDULED_WAKE) {
    PerformSleepOrWake(runner, choice);
  } else {
    runner->effect = memory_.Apply(runner->index, op, choice);
  }
  if (tracing_) TraceStep(*runner, op, runner->effect);
  if (runner->state == State::kAsleep) return;
  runner->state = State::kPending;
  running_ = runner->index;
  runner->fiber.Resume();
  running_ = -1;
}

Explorer::RunEnd Explorer::RunOnce(const Pick& pick, const PickWay& pick_way) {
  StartThreads();
  for (size_t depth = 0; !failed_; depth++) {
    const uint32_t enabled = Enabled();
    if (enabled == 0) break;
    if (depth == kStepsMax) {
      failed_ = true;
      failure_ = "does not end";
      break;
    }
    int thread;
    if (!pick(depth, enabled, &thread)) return RunEnd::kPruned;
    Runner* runner = runners_[static_cast<size_t>(thread)].get();
    const int choices = CountChoices(runner);
    const int choice = pick_way(depth, choices);
    schedule_ += static_cast<char>('a' + thread);
    if (choice != 0) schedule_ += std::to_string(choice);
    Step(runner, choice);
  }
  if (!failed_) FinishRun();
  return failed_ ? RunEnd::kFailed : RunEnd::kFinished;
}

void Explorer::FinishRun() {
  for (const auto& runner : runners_) {
    if (runner->state == State::kFinished) continue;
    failed_ = true;
    failure_ = std::string(scenario_.threads[static_cast<size_t>(runner->index)].name) + " waits for ever";
    return;
  }
  Aside(scenario_.end);
}

// --- what the threads call ---

uint64_t Explorer::Perform(const void* address, uint32_t bytes, Op op, bool* done) {
  Runner& runner = *runners_[static_cast<size_t>(running_)];
  op.location = memory_.Locate(address, bytes);
  if (runner.impatient) {
    if (op.kind == HAK_SCHEDULED_LOAD && op.location == runner.last_read) return runner.last_value;
    runner.impatient = false;
  }
  runner.pending = op;
  runner.fiber.Leave();
  const Effect& effect = runner.effect;
  *done = effect.wrote;
  if (!effect.wrote) {
    runner.last_read = op.location;
    runner.last_value = effect.read;
  }
  return effect.read;
}

void Explorer::Relax() {
  Runner& runner = *runners_[static_cast<size_t>(running_)];
  if (runner.impatient || runner.last_read < 0) return;
  runner.pending = Op();
  runner.pending.kind = HAK_SCHEDULED_AWAIT;
  runner.pending.location = runner.last_read;
  runner.fiber.Leave();
}

void Explorer::FailInside(const std::string& what) {
  if (!failed_) {
    failed_ = true;
    failure_ = what;
  }
  for (;;) {
    if (running_ >= 0) {
      runners_[static_cast<size_t>(running_)]->fiber.Leave();
    } else if (is_aside_) {
      aside_.Leave();
    } else {
      fprintf(stderr, "schedules: %s\n", what.c_str());
      abort();
    }
  }
}

void Explorer::OnPlainAccess(const void* address, uint32_t bytes, bool is_write) {
  if (IsThreadLocal(address)) return;
  if (running_ >= 0) {
    if (runners_[static_cast<size_t>(running_)]->fiber.Owns(address)) return;
    Race race;
    if (!plain_.Access(memory_, running_, address, bytes, is_write, &race)) return;
    const auto name = [&](int thread) { return scenario_.threads[static_cast<size_t>(thread)].name; };
    FailInside(std::string("race: ") + name(race.second_thread) + (race.second_is_write ? " writes " : " reads ") +
               NameOf(reinterpret_cast<uintptr_t>(address)) + ", not ordered with the " +
               (race.first_is_write ? "write" : "read") + " by " + name(race.first_thread));
  }
  if (is_aside_ && is_write && !aside_.Owns(address)) plain_.NoteWrite(address, bytes);
}

void Expect(bool condition, const char* what) {
  if (!condition) active_explorer->FailInside(what);
}

void NoteOutcome(const std::string& outcome) {
  if (active_explorer->outcomes_ != nullptr) active_explorer->outcomes_->insert(outcome);
}

void NameObject(const void* address, size_t bytes, const std::string& name) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(address);
  active_explorer->objects_.push_back({start, start + bytes, name});
}

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
