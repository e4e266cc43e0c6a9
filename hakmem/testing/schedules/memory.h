// The memory model: what a load may return, where in the order of a location a store may stand, and what one thread
// knows of another. docs/adr/0007-memory-model-of-the-schedules.md says what it admits and what not.
#ifndef HAKMEM_TESTING_SCHEDULES_MEMORY_H_
#define HAKMEM_TESTING_SCHEDULES_MEMORY_H_

#include <stdint.h>

#include <unordered_map>
#include <vector>

#include "hakmem/testing/schedules/site.h"

namespace schedules {

constexpr int kThreadsMax = 6;
constexpr int kLocationsMax = 384;

// One atomic operation, about to happen.
struct Op {
  int kind = 0;  // hak_scheduled_op
  int order = 0;
  int location = -1;
  uint64_t operand = 0;
  uint64_t expected = 0;  // of a compare-and-swap; of a sleep
  const hak_scheduled_site* site = nullptr;
};

inline bool IsRead(const Op& op) { return op.kind == HAK_SCHEDULED_LOAD || op.kind == HAK_SCHEDULED_AWAIT; }

// What came of it.
struct Effect {
  uint64_t read = 0;
  uint64_t newest = 0;  // at the time of a read
  uint64_t written = 0;
  bool wrote = false;
  bool stored_behind_newer = false;
};

// How far a thread, or a message, has come: of each location the oldest store that may still be read, and of each
// thread the last step that happened before.
struct View {
  uint32_t locations = 0;  // of `seen`, those in use
  uint32_t clock[kThreadsMax] = {};
  uint32_t seen[kLocationsMax] = {};
};

class Memory {
 public:
  // Forgets every location.
  void Clear();
  // Begins a run: undoes what the last one did to the program's memory.
  void Reset();

  int Locate(const void* address, uint32_t bytes);
  void* AddressOf(int location) const { return locations_[location].address; }

  // Number of ways in which `op` of `thread` may go; 0: none (strong compare-and-swaps always have one).
  int Choices(int thread, const Op& op);
  // Does it in way `choice`, of those that Choices has just counted. Choice 0 is the one that an interleaving of
  // instructions without any delay would take, where there is one.
  Effect Apply(int thread, const Op& op, int choice);

  // For spin loops: true when a store follows the one that `thread` has read last, or must know of.
  bool HasNewer(int thread, int location);
  // The thread learns of the next such store: memory does not stay stale for ever.
  void Advance(int thread, int location);
  uint64_t Newest(int location);

  // True when step `clock` of `other` happened before what `thread` does now.
  bool HappensBefore(int other, uint32_t clock, int thread) const { return views_[thread].clock[other] >= clock; }
  uint32_t Clock(int thread) const { return views_[thread].clock[thread]; }

 private:
  // A store, at its place in the modification order of its location.
  struct Message {
    uint64_t value;
    uint32_t stamp;  // increasing along the order
    int view;        // index in released_, -1: none
    bool attached;   // by a read-modify-write: nothing may come between it and the one before
  };
  struct Location {
    void* address;
    uint32_t bytes;
    uint64_t initial;
    uint32_t seq_floor;  // a seq operation may not read, nor store before, what is older
    bool touched;
    std::vector<Message> messages;
  };

  void Touch(int location);
  uint32_t Floor(int thread, const Op& op) const;
  void Join(View* into, const View& from) const;
  int Release(int thread, int previous_view, bool is_release);
  void AcquireFrom(int thread, const Op& op, const Message& message);
  uint32_t StampAfter(const Location& location, size_t index) const;
  void Insert(int thread, const Op& op, size_t after, uint64_t value, bool attached, int view, Effect* effect);
  void WriteThrough(const Location& location);

  std::unordered_map<const void*, int> ids_;
  std::vector<Location> locations_;
  std::vector<int> touched_;
  View views_[kThreadsMax];
  std::vector<View> released_;
  size_t released_count_ = 0;
  std::vector<size_t> options_;  // indices of messages, of the last Choices
};

uint64_t ReadWord(const void* address, uint32_t bytes);
void WriteWord(void* address, uint32_t bytes, uint64_t value);
// The new value of a read-modify-write.
uint64_t Modified(int kind, uint32_t bytes, uint64_t old, uint64_t operand);

inline bool Acquires(int order) {
  return order == HAK_ORDER_ACQUIRE || order == HAK_ORDER_ACQ_REL || order == HAK_ORDER_SEQ;
}
inline bool Releases(int order) {
  return order == HAK_ORDER_RELEASE || order == HAK_ORDER_ACQ_REL || order == HAK_ORDER_SEQ;
}

}  // namespace schedules

#endif  // HAKMEM_TESTING_SCHEDULES_MEMORY_H_
