// Slabs that change owner while others free their blocks: docs/memory_order.md, "Mailbox and pending".
#include <utility>

#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/testing/schedules/scenarios.h"
#include "hakmem/testing/schedules/world.h"

namespace schedules {
namespace {

constexpr uint64_t kNothing = 1, kBlock = 2;

// As a thread that may have to look after a parked owner.
void PublishAndHelp(hak_slab* slab, uint64_t mask) {
  const hak_remote_free_result result = hak_remote_free_publish(slab, 0, mask);
  Expect(result != HAK_REMOTE_FREE_DOUBLE, "a block is free twice");
  if (result == HAK_REMOTE_FREE_TO_PARKED) door_drain_first_parked();
}

// The slab is whole, and so released, before the publisher of its last block has pushed it. The next owner hands out a
// block, and a thread frees that.
Scenario ReleaseUnderAPublisher() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* next = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 3);
  Publish(slab, 2);
  Scenario scenario;
  scenario.threads = {
      {"late", [=] { Publish(slab, 1); }},
      {"owners",
       [=] {
         if (Drain(world, heap) == 0) {
           door_set_flag(kNothing);
           return;
         }
         Expect(hak_shared_pool_acquire(next, world.size_class) == slab, "the lowest free unit");
         Expect(hak_slab_take_run(slab).mask == ~0ull, "a fresh slab is whole");
         door_set_flag(kBlock);
       }},
      {"freer",
       [=] {
         if (door_wait_for_flag() == kBlock) Publish(slab, 4);
       }},
  };
  scenario.end = [=] {
    CheckStacks(world);
    DrainAll(world);
    const bool is_next = hak_ptr_load_relaxed(&slab->mailbox) == hak_heap_mailbox(next, world.size_class);
    Expect(hak_u32_load_relaxed(&slab->pending) == 0, "a slab stays pending");
    Expect(hak_u64_load_relaxed(&slab->remote_bits[0]) == 0, "a remote free stays unseen");
    if (is_next) Expect(slab->free_bits[0] == 4, "the freed block, and no other");
  };
  return scenario;
}

// `first`, while a slab that has no owner gets one and a block of it is freed.
Scenario BesideANextOwner(const World& world, hak_slab* slab, hak_heap* next, Thread first) {
  Scenario scenario;
  scenario.threads = {
      std::move(first),
      {"next owner",
       [=] {
         door_set_mailbox(slab, next, world.size_class);
         door_set_flag(kBlock);
       }},
      {"freer",
       [=] {
         door_wait_for_flag();
         Publish(slab, 4);
       }},
  };
  scenario.end = [=] { CheckStacks(world); };
  return scenario;
}

// The protocol of N1 to N4 and M0 to M2 alone: a mark without an owner, and an owner who comes.
Scenario OwnerComesBetweenLooks() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* next = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 1);
  Publish(slab, 1);
  Drain(world, heap);
  Expect(hak_ptr_load_relaxed(&slab->mailbox) == nullptr, "released");
  /* What a publisher does whose bit another's push has brought home already. */
  return BesideANextOwner(world, slab, next, {"late", [=] { door_notify_owner(slab); }});
}

// Posted to a parked heap whose slab is adopted singly, while a third thread takes the heap whole.
Scenario AdoptUnderAPublisher() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* adopter = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 3);
  hak_heap_park(heap);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1); }},
      {"adopter", [=] { door_adopt(adopter, world.size_class); }},
      {"heir",
       [=] {
         hak_heap* mine = hak_heap_acquire(1 << 20);
         if (mine == heap) Drain(world, mine);
       }},
  };
  scenario.end = [=] {
    if (hak_ptr_load_relaxed(&slab->mailbox) == hak_heap_mailbox(adopter, world.size_class)) {
      Expect(door_registry_word(slab->base) == reinterpret_cast<uintptr_t>(hak_heap_bin(adopter, world.size_class)),
             "the registry knows the owner");
    }
    CheckAllIsMerged(world, 2);
  };
  return scenario;
}

// A slab that is posted to its former owner: whoever drains that stack forwards it.
Scenario ForwardToTheNewOwner() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* adopter = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 7);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1); }},
      {"former",
       [=] {
         /* As under the parked-heap lock, which orders an adoption with those who drain the parked heap. */
         door_set_mailbox(slab, adopter, world.size_class);
         Drain(world, heap);
       }},
      {"freer", [=] { Publish(slab, 2); }},
  };
  scenario.begin = [=] { door_unlist(slab, heap, world.size_class); };
  scenario.end = [=] { CheckAllIsMerged(world, 4); };
  return scenario;
}

// On the stack of a former owner, for nothing, when it gets a new one: who drains that stack clears pending, as N3.
Scenario OwnerComesUnderADrain() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* next = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 4);
  door_unlist(slab, heap, world.size_class);
  door_release_mailbox(slab);
  door_post_late(slab, hak_heap_mailbox(heap, world.size_class));
  return BesideANextOwner(world, slab, next, {"former", [=] { Drain(world, heap); }});
}

// The owner's thread ends while another frees and a third looks for slabs to adopt.
Scenario ParkAndAdopt() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* adopter = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 3);
  Scenario scenario;
  scenario.threads = {
      {"owner",
       [=] {
         Drain(world, heap);
         hak_heap_park(heap);
       }},
      {"publisher", [=] { PublishAndHelp(slab, 1); }},
      {"adopter", [=] { door_adopt(adopter, world.size_class); }},
  };
  scenario.end = [=] { CheckAllIsMerged(world, 2); };
  return scenario;
}

// The adopter's heap is new: who reads of it in the slab finds it complete.
Scenario AdoptByANewHeap() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 3);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1); }},
      {"owner", [=] { hak_heap_park(heap); }},
      {"newcomer",
       [=] {
         hak_heap* mine = hak_heap_acquire(1 << 20);
         if (mine == heap) return;
         door_use_bin(mine, world.size_class);
         door_adopt(mine, world.size_class);
       }},
  };
  scenario.end = [=] {
    World all = world;
    all.heaps.clear();
    for (hak_heap* any = hak_heap_first(); any != nullptr; any = any->next_heap) all.heaps.push_back(any);
    CheckAllIsMerged(all, 2);
  };
  return scenario;
}

// One thread takes the parked heap whole, as another adopts from it and a third drains it.
Scenario UnparkAndAdopt() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* adopter = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 3);
  Publish(slab, 1);
  hak_heap_park(heap);
  Scenario scenario;
  scenario.threads = {
      {"heir",
       [=] {
         hak_heap* mine = hak_heap_acquire(1 << 20);
         Expect(mine == heap, "the parked heap");
         /* What it owns is what the registry says: docs/memory_order.md, "Change of owner". */
         const uint64_t bin = reinterpret_cast<uintptr_t>(hak_heap_bin(heap, world.size_class));
         if (door_registry_word(slab->base) == bin) Expect(door_takes_own(heap, slab, world.size_class), "its own");
       }},
      {"adopter", [=] { door_adopt(adopter, world.size_class); }},
      {"helper", [=] { door_drain_first_parked(); }},
  };
  scenario.end = [=] { CheckAllIsMerged(world, 2); };
  return scenario;
}

}  // namespace

std::vector<NamedScenario> OwnerScenarios() {
  return {
      {"release", "released and acquired under a late publisher", ReleaseUnderAPublisher, true},
      {"no_owner", "a mark without an owner, and an owner who comes", OwnerComesBetweenLooks, true},
      {"no_owner_posted", "on a former owner's stack, and an owner who comes", OwnerComesUnderADrain, true},
      {"adopt", "a publisher, an adopter, and a thread that takes the parked heap whole", AdoptUnderAPublisher, true},
      {"forward", "posted to a former owner", ForwardToTheNewOwner, true},
      {"park", "an owner ends, a remote free, an adopter", ParkAndAdopt, true},
      {"adopt_new", "adopted into a heap that is new", AdoptByANewHeap, true},
      {"unpark", "a parked heap taken whole, singly, and drained", UnparkAndAdopt, true},
  };
}

}  // namespace schedules
