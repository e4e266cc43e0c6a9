// The registry's root, lists that grow, options, and the lock.
#include "hakmem/registry/registry.h"
#include "hakmem/testing/schedules/scenarios.h"
#include "hakmem/testing/schedules/world.h"

namespace schedules {
namespace {

// Two threads prepare neighbours, a third looks them up.
Scenario Prepare(unsigned leaves) {
  char* const base = reinterpret_cast<char*>(static_cast<uintptr_t>(DOOR_MEMORY_BASE));
  static char owners[2];
  const auto take = [=](int n) {
    char* unit = base + n * HAK_UNIT_BYTES;
    Expect(hak_registry_prepare(unit, HAK_UNIT_BYTES), "memory");
    hak_registry_set(unit, 1, 16 + static_cast<uint64_t>(n), &owners[n]);
    Expect(door_registry_word(unit) == 16 + static_cast<uint64_t>(n), "its own word");
  };
  Scenario scenario;
  scenario.threads = {
      {"mapper",
       [=] {
         take(0);
         door_set_flag(1);
       }},
      {"mapper 2", [=] { take(1); }},
      {"reader",
       [=] {
         const uint64_t word = door_registry_word(base + HAK_UNIT_BYTES);
         Expect(word == 0 || word == 17, "any value may be asked for");
         door_wait_for_flag();
         Expect(door_registry_word(base) == 16, "the word of a block that was handed over");
         Expect(door_registry_owner(base) == &owners[0], "its owner");
       }},
  };
  scenario.end = [=] {
    Expect(door_registry_word(base) == 16 && door_registry_word(base + HAK_UNIT_BYTES) == 17, "both words");
    Expect(door_leaves_mapped() - door_leaves_returned() == leaves, "a leaf too many");
  };
  return scenario;
}

// They need the same leaf: the window is elsewhere.
Scenario RegistryPrepare() {
  NewWorld();
  const uint64_t far = DOOR_MEMORY_BASE + (uint64_t{64} << 30);
  Expect(hak_registry_prepare(reinterpret_cast<void*>(far), HAK_UNIT_BYTES), "nothing to map");
  return Prepare(1);
}

// Both would place the window.
Scenario RegistryWindow() {
  NewWorld();
  return Prepare(0);
}

// Descriptors are listed while others walk the ids.
Scenario NewIds() {
  NewWorld();
  Scenario scenario;
  scenario.threads = {
      {"mapper", [] { Expect(door_map_superslab() < 2, "an id"); }},
      {"mapper 2", [] { Expect(door_map_superslab() < 2, "an id"); }},
      {"walker", [] { door_count_superslabs(); }},
  };
  scenario.end = [] { Expect(door_count_superslabs() == 2, "two ids"); };
  return scenario;
}

Scenario NewHeaps() {
  NewWorld();
  Scenario scenario;
  scenario.threads = {
      {"thread", [] { Expect(hak_heap_acquire(1) != nullptr, "memory"); }},
      {"thread 2", [] { Expect(hak_heap_acquire(1) != nullptr, "memory"); }},
      {"report", [] { door_count_heaps(); }},
  };
  scenario.end = [] { Expect(door_count_heaps() == 2, "two heaps"); };
  return scenario;
}

Scenario Options() {
  NewWorld();
  const auto ask = [] {
    const uint64_t decay_ms = door_config_decay_ms();
    Expect(decay_ms == 500 || decay_ms == 123, "the value before, or after");
    const uint32_t length = door_config_stats_file();
    Expect(length == 0 || length == 3, "the text before, or after");
  };
  Scenario scenario;
  scenario.threads = {{"start", [] { door_config_load(); }}, {"asks", ask}, {"start 2", [] { door_config_load(); }}};
  scenario.end = [] { Expect(door_config_decay_ms() == 123 && door_config_stats_file() == 3, "loaded"); };
  return scenario;
}

// Two threads, the real spin, the real sleep.
Scenario Lock() {
  NewWorld();
  Scenario scenario;
  scenario.spins_lose_patience = true;
  scenario.threads = {{"taker", [] { door_lock_add(); }}, {"taker 2", [] { door_lock_add(); }}};
  scenario.end = [] { Expect(door_lock_guarded() == 2, "an addition is lost"); };
  return scenario;
}

Scenario LockThree() {
  Scenario scenario = Lock();
  scenario.threads.push_back({"taker 3", [] { door_lock_add(); }});
  scenario.end = [] { Expect(door_lock_guarded() == 3, "an addition is lost"); };
  return scenario;
}

Scenario LockTry() {
  Scenario scenario = Lock();
  scenario.threads.push_back({"tries", [] { door_lock_try_add(); }});
  scenario.end = [] { Expect(door_lock_guarded() >= 2, "an addition is lost"); };
  return scenario;
}

}  // namespace

std::vector<NamedScenario> BaseScenarios() {
  return {
      {"registry", "two threads need one leaf, a third looks up", RegistryPrepare, true},
      {"registry_window", "two threads place the window, a third looks up", RegistryWindow, true},
      {"ids", "descriptors are listed under a walker", NewIds, false},
      {"heaps", "heaps are listed under a walker", NewHeaps, true},
      {"options", "options are loaded under a reader", Options, true},
      {"lock", "two threads take the lock", Lock, true},
      {"lock_try", "and a third tries", LockTry, false},
      {"lock_three", "three threads take the lock", LockThree, false},
  };
}

const std::vector<NamedScenario>& AllScenarios() {
  static const std::vector<NamedScenario> all = [] {
    std::vector<NamedScenario> out;
    for (const auto& part :
         {RemoteFreeScenarios(), CompleteScenarios(), OwnerScenarios(), UnitScenarios(), BaseScenarios()}) {
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }();
  return all;
}

}  // namespace schedules
