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

}  // namespace schedules
