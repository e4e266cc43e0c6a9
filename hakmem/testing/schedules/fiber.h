// Threads that run one at a time, on one thread of the system, and change over in a few nanoseconds.
#ifndef HAKMEM_TESTING_SCHEDULES_FIBER_H_
#define HAKMEM_TESTING_SCHEDULES_FIBER_H_

#include <stddef.h>

namespace schedules {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Forgets what it was doing; the next Resume calls `entry(argument)`, which must end with Leave.
  void Prepare(void (*entry)(void*), void* argument);
  // Runs the fiber until it calls Leave.
  void Resume();
  // From within: back to who resumed.
  void Leave();

  bool Owns(const void* address) const { return address >= stack_ && address < stack_ + kStackBytes; }

 private:
  static constexpr size_t kStackBytes = 256 * 1024;

  static void Enter();

  char* stack_;
  void* inside_ = nullptr;   // stack pointer of the fiber while it is left
  void* outside_ = nullptr;  // of who resumed it
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace schedules

#endif  // HAKMEM_TESTING_SCHEDULES_FIBER_H_
