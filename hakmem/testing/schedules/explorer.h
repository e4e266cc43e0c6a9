// Runs a few threads of real code under control: one atomic operation at a time, in every order that matters and with
// every value that the memory model lets a load return.
#ifndef HAKMEM_TESTING_SCHEDULES_EXPLORER_H_
#define HAKMEM_TESTING_SCHEDULES_EXPLORER_H_

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "hakmem/testing/schedules/fiber.h"
#include "hakmem/testing/schedules/memory.h"
#include "hakmem/testing/schedules/plain.h"

namespace schedules {

// One thread of a scenario. It runs many times, so it keeps nothing outside of the boxes' memory, but for what the
// scenario resets. Atomics of the boxes are explored only where they are compiled with hook.h: in C files.
struct Thread {
  const char* name;
  std::function<void()> body;
};

struct Scenario {
  std::vector<Thread> threads;
  // Before each run, outside of the exploration.
  std::function<void()> begin = [] {};
  // After all threads have returned: checks with Expect, and may call the boxes.
  std::function<void()> end = [] {};
  // Spin loops are left in both ways: when the word changes, and when they lose patience.
  bool spins_lose_patience = false;
};

struct Failure {
  std::string what;
  std::string schedule;  // for Replay
  std::string trace;
};

struct Result {
  uint64_t runs = 0;    // to the end
  uint64_t pruned = 0;  // given up since another run shows the same
  uint64_t steps = 0;
  bool complete = false;  // every schedule was seen, up to the order of operations that commute
  bool failed = false;
  Failure failure;
  std::set<std::string> outcomes;  // what `end` has noted
};

// Of the scenario that is under way. False conditions end the run as a failure.
void Expect(bool condition, const char* what);
void NoteOutcome(const std::string& outcome);
// Names an object for traces. During the set-up.
void NameObject(const void* address, size_t bytes, const std::string& name);

class Explorer {
 public:
  // `set_up` brings the boxes into the state that each run starts from. One explorer lives at a time.
  explicit Explorer(const std::function<Scenario()>& set_up);
  // The boxes are as before the set-up.
  ~Explorer();

  // Depth first; without `reduce` also all orders of operations that commute.
  Result Exhaust(uint64_t runs_max, bool reduce = true);
  // Random schedules.
  Result Walk(uint64_t seed, uint64_t runs);
  Result Replay(const std::string& schedule);

  // --- for the functions of site.h ---
  static Explorer* active();
  bool is_inside() const { return running_ >= 0; }
  uint64_t Perform(const void* address, uint32_t bytes, Op op, bool* done);
  void Relax();
  [[noreturn]] void FailInside(const std::string& what);
  void NoteDirectWrite(const void* address, uint32_t bytes) { plain_.NoteWrite(address, bytes); }
  void OnPlainAccess(const void* address, uint32_t bytes, bool is_write);

 private:
  enum class State { kPending, kAsleep, kAwake, kFinished };
  struct Runner {
    Explorer* explorer;
    int index;
    Fiber fiber;
    State state = State::kFinished;
    Op pending;
    Effect effect;
    int last_read = -1;      // location
    bool impatient = false;  // reads the same word again without a choice, until the loop ends
    uint64_t last_value = 0;
  };
  struct Brief {
    int location;
    bool is_read;
  };
  struct Node {
    int thread, choice, choices;
    uint32_t enabled, sleep, backtrack;
    Brief pending[kThreadsMax];
    uint32_t clock[kThreadsMax];  // events that come before this one in every equivalent order, this one included
  };

  static void RunBody(void* runner);
  static void RunAside(void* explorer);
  void Aside(const std::function<void()>& work);

  enum class RunEnd { kFinished, kPruned, kFailed };
  using Pick = std::function<bool(size_t depth, uint32_t enabled, int* thread)>;
  using PickWay = std::function<int(size_t depth, int choices)>;
  RunEnd RunOnce(const Pick& pick, const PickWay& pick_way);
  void StartThreads();
  void FinishRun();
  uint32_t Enabled();
  bool IsEnabled(const Runner& runner);
  int CountChoices(Runner* runner);
  void Step(Runner* runner, int choice);
  void PerformSleepOrWake(Runner* runner, int choice);
  void TraceStep(const Runner& runner, const Op& op, const Effect& effect);
  std::string NameOf(uint64_t address) const;

  bool ExtendStack(size_t depth, uint32_t enabled, int* thread, bool reduce);
  void RecordEvent(size_t depth);
  void FindRaces(size_t depth);
  void Reverse(size_t earlier, size_t later);
  bool Backtrack();
  uint32_t SleepOfChild(const Node& parent) const;
  Failure Explain();

  Scenario scenario_;
  Memory memory_;
  PlainMemory plain_;
  std::vector<std::unique_ptr<Runner>> runners_;
  Fiber aside_;
  std::function<void()> aside_work_;
  int running_ = -1;  // index of the thread that runs, -1: none
  bool is_aside_ = false;

  bool failed_ = false;
  std::string failure_;
  std::string schedule_;
  bool tracing_ = false;
  std::string trace_;
  std::set<std::string>* outcomes_ = nullptr;
  struct Object {
    uintptr_t start, end;
    std::string name;
  };
  std::vector<Object> objects_;

  std::vector<Node> stack_;
  size_t fresh_from_ = 0;  // nodes below are as in the last run
  uint32_t event_clock_[kThreadsMax][kThreadsMax];
  uint32_t event_count_[kThreadsMax];
  std::vector<std::vector<size_t>> accesses_;  // of a location: events so far, see RecordEvent

  friend void Expect(bool condition, const char* what);
  friend void NoteOutcome(const std::string& outcome);
  friend void NameObject(const void* address, size_t bytes, const std::string& name);
};

}  // namespace schedules

#endif  // HAKMEM_TESTING_SCHEDULES_EXPLORER_H_
