#include "hakmem/testing/schedules/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace schedules {
namespace {

/* Between the stamps of two stores made in order; later ones may come in between. */
constexpr uint32_t kStampGap = 1 << 16;

}  // namespace

uint64_t ReadWord(const void* address, uint32_t bytes) {
  if (bytes == 4) return __atomic_load_n(static_cast<const uint32_t*>(address), __ATOMIC_RELAXED);
  return __atomic_load_n(static_cast<const uint64_t*>(address), __ATOMIC_RELAXED);
}

void WriteWord(void* address, uint32_t bytes, uint64_t value) {
  if (bytes == 4) {
    __atomic_store_n(static_cast<uint32_t*>(address), static_cast<uint32_t>(value), __ATOMIC_RELAXED);
  } else {
    __atomic_store_n(static_cast<uint64_t*>(address), value, __ATOMIC_RELAXED);
  }
}

uint64_t Modified(int kind, uint32_t bytes, uint64_t old, uint64_t operand) {
  uint64_t value = operand;
  if (kind == HAK_SCHEDULED_FETCH_OR) value = old | operand;
  if (kind == HAK_SCHEDULED_FETCH_AND) value = old & operand;
  if (kind == HAK_SCHEDULED_FETCH_ADD) value = old + operand;
  if (kind == HAK_SCHEDULED_FETCH_SUB) value = old - operand;
  return bytes == 4 ? static_cast<uint32_t>(value) : value;
}

void Memory::Clear() {
  Reset();
  ids_.clear();
  locations_.clear();
}

void Memory::Reset() {
  for (const int id : touched_) {
    Location& location = locations_[id];
    WriteWord(location.address, location.bytes, location.initial);
    location.touched = false;
  }
  touched_.clear();
  for (int i = 0; i < kThreadsMax; i++) {
    views_[i] = View();
    views_[i].clock[i] = 1; /* nobody knows of a thread's first steps */
  }
  released_count_ = 0;
}

int Memory::Locate(const void* address, uint32_t bytes) {
  const auto found = ids_.find(address);
  int id;
  if (found != ids_.end()) {
    id = found->second;
  } else {
    id = static_cast<int>(locations_.size());
    if (id == kLocationsMax) {
      fprintf(stderr, "schedules: more than %d atomics in one scenario\n", kLocationsMax);
      abort();
    }
    ids_[address] = id;
    locations_.push_back({const_cast<void*>(address), bytes, 0, 0, false, {}});
  }
  if (!locations_[id].touched) Touch(id);
  return id;
}

void Memory::Touch(int id) {
  Location& location = locations_[id];
  location.initial = ReadWord(location.address, location.bytes);
  location.seq_floor = 0;
  location.touched = true;
  location.messages.clear();
  location.messages.push_back({location.initial, 0, -1, false});
  touched_.push_back(id);
  for (View& view : views_) {
    if (view.locations <= static_cast<uint32_t>(id)) view.locations = static_cast<uint32_t>(id) + 1;
  }
}

uint32_t Memory::Floor(int thread, const Op& op) const {
  const Location& location = locations_[op.location];
  const uint32_t seen = views_[thread].seen[op.location];
  return op.order == HAK_ORDER_SEQ && location.seq_floor > seen ? location.seq_floor : seen;
}

int Memory::Choices(int thread, const Op& op) {
  const Location& location = locations_[op.location];
  const uint32_t floor = Floor(thread, op);
  options_.clear();
  for (size_t i = location.messages.size(); i-- > 0 && location.messages[i].stamp >= floor;) {
    /* A store, plain or by read-modify-write, may go directly after this one. */
    const bool is_open = i + 1 == location.messages.size() || !location.messages[i + 1].attached;
    bool possible = is_open;
    if (IsRead(op)) possible = true;
    if (op.kind == HAK_SCHEDULED_CAS && location.messages[i].value != op.expected) possible = true;
    if (possible) options_.push_back(i);
  }
  return static_cast<int>(options_.size());
}

void Memory::Join(View* into, const View& from) const {
  for (int i = 0; i < kThreadsMax; i++) {
    if (into->clock[i] < from.clock[i]) into->clock[i] = from.clock[i];
  }
  for (uint32_t i = 0; i < from.locations; i++) {
    if (into->seen[i] < from.seen[i]) into->seen[i] = from.seen[i];
  }
  if (into->locations < from.locations) into->locations = from.locations;
}

/* The view of a new message: the thread's, if it releases, and that of the message which a read-modify-write follows. */
int Memory::Release(int thread, int previous_view, bool is_release) {
  if (!is_release) return previous_view;
  if (released_count_ == released_.size()) released_.emplace_back();
  View& view = released_[released_count_];
  const View& own = views_[thread];
  view.locations = own.locations;
  memcpy(view.clock, own.clock, sizeof view.clock);
  memcpy(view.seen, own.seen, own.locations * sizeof view.seen[0]);
  if (previous_view >= 0) {
    /* What an older, longer view left in the reused one is no part of it. */
    const View& previous = released_[previous_view];
    for (uint32_t i = view.locations; i < previous.locations; i++) view.seen[i] = 0;
    Join(&view, previous);
  }
  return static_cast<int>(released_count_++);
}

void Memory::AcquireFrom(int thread, const Op& op, const Message& message) {
  View& own = views_[thread];
  if (own.seen[op.location] < message.stamp) own.seen[op.location] = message.stamp;
  if (Acquires(op.order) && message.view >= 0) Join(&own, released_[message.view]);
}

uint32_t Memory::StampAfter(const Location& location, size_t index) const {
  const uint32_t before = location.messages[index].stamp;
  if (index + 1 == location.messages.size()) return before + kStampGap;
  const uint32_t stamp = before + (location.messages[index + 1].stamp - before) / 2;
  if (stamp == before) {
    fprintf(stderr, "schedules: too many stores between two others\n");
    abort();
  }
  return stamp;
}

void Memory::WriteThrough(const Location& location) {
  WriteWord(location.address, location.bytes, location.messages.back().value);
}

void Memory::Insert(int thread, const Op& op, size_t after, uint64_t value, bool attached, int previous_view,
                    Effect* effect) {
  Location& location = locations_[op.location];
  const uint32_t stamp = StampAfter(location, after);
  views_[thread].seen[op.location] = stamp;
  const int view = Release(thread, previous_view, Releases(op.order));
  effect->stored_behind_newer = after + 1 != location.messages.size();
  location.messages.insert(location.messages.begin() + static_cast<ptrdiff_t>(after) + 1,
                           Message{value, stamp, view, attached});
  if (op.order == HAK_ORDER_SEQ && location.seq_floor < stamp) location.seq_floor = stamp;
  effect->wrote = true;
  effect->written = value;
  WriteThrough(location);
}

Effect Memory::Apply(int thread, const Op& op, int choice) {
  Location& location = locations_[op.location];
  const size_t index = options_[static_cast<size_t>(choice)];
  const Message message = location.messages[index];
  Effect effect;
  effect.read = message.value;
  effect.newest = location.messages.back().value;
  if (op.kind == HAK_SCHEDULED_STORE) {
    Insert(thread, op, index, op.operand, false, -1, &effect);
  } else {
    Op read = op;
    const bool fails = op.kind == HAK_SCHEDULED_CAS && message.value != op.expected;
    if (fails && op.order == HAK_ORDER_RELEASE) read.order = HAK_ORDER_RELAXED;
    AcquireFrom(thread, read, message);
    if (!IsRead(op) && !fails) {
      Insert(thread, op, index, Modified(op.kind, location.bytes, message.value, op.operand), true, message.view,
             &effect);
    }
  }
  views_[thread].clock[thread]++;
  return effect;
}

bool Memory::HasNewer(int thread, int id) { return locations_[id].messages.back().stamp > views_[thread].seen[id]; }

void Memory::Advance(int thread, int id) {
  for (const Message& message : locations_[id].messages) {
    if (message.stamp <= views_[thread].seen[id]) continue;
    views_[thread].seen[id] = message.stamp;
    return;
  }
}

uint64_t Memory::Newest(int id) { return locations_[id].messages.back().value; }

}  // namespace schedules
