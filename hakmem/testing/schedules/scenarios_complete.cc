// Slabs that others than their owner have freed whole, and who takes them: docs/memory_order.md, "Complete slabs".
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/testing/schedules/scenarios.h"
#include "hakmem/testing/schedules/world.h"

namespace schedules {
namespace {

constexpr uint64_t kNothing = 1, kBlock = 2, kAll = ~0ull;

// The last block comes while one thread looks for complete slabs and the owner merges: one of the two has it.
Scenario TakeBesideTheOwner() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, kAll);
  Publish(slab, kAll - 1);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1); }},
      {"taker", [] { door_take_complete(); }},
      {"owner", [=] { Drain(world, heap); }},
  };
  scenario.end = [=] { CheckAllIsMerged(world); };
  return scenario;
}

// The last two blocks at once, and a taker: who comes last sees that all are there.
Scenario TakeBesidePublishers() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, kAll);
  Publish(slab, kAll - 3);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1); }},
      {"publisher 2", [=] { Publish(slab, 2); }},
      {"taker", [] { door_take_complete(); }},
  };
  scenario.end = [=] {
    CheckStacks(world);
    door_take_complete();
    Expect(hak_ptr_load_relaxed(&slab->mailbox) == nullptr, "nobody can take it");
    CheckAllIsMerged(world);
  };
  return scenario;
}

// Of a slab that was complete before, and is still on the stack of such: its owner has merged it, and handed its blocks out
// anew. Who takes it from the stack and who frees its last block agree on who comes for it.
Scenario TakeAgain() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, kAll);
  hak_slab* other = AddSlab(&world, heap, 3);
  Publish(slab, kAll);
  hak_slab* merged = door_merge(heap, world.size_class);
  Expect(merged == slab && hak_slab_take_run(slab).mask == kAll, "out again");
  Publish(slab, kAll - 1);
  hak_remote_free_publish(other, 0, 1);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1); }},
      {"taker", [] { door_take_complete(); }},
  };
  scenario.end = [=] {
    CheckStacks(world);
    door_take_complete();
    Expect(hak_ptr_load_relaxed(&slab->mailbox) == nullptr, "complete, and nobody can take it");
    Drain(world, heap);
    Expect(other->free_bits[0] == ~2ull, "a block is lost, or free that is not");
  };
  return scenario;
}

// A word each.
Scenario TakeTwoWords() {
  World world = NewWorld(kTwoWordBytes);
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, kAll);
  Publish(slab, kAll - 1, 0);
  Publish(slab, kAll - 1, 1);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1, 0); }},
      {"publisher 2", [=] { Publish(slab, 1, 1); }},
  };
  scenario.end = [=] {
    CheckStacks(world);
    door_take_complete();
    Expect(hak_ptr_load_relaxed(&slab->mailbox) == nullptr, "complete, and nobody can take it");
  };
  return scenario;
}

// Taken under a publisher that has set its bit and not looked at pending: the slab gets an owner who has it to himself, in
// whose mailbox later frees arrive. The former owner sleeps and never looks.
Scenario TakeUnderAPublisher() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* next = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, kAll);
  Publish(slab, kAll - 3);
  Scenario scenario;
  scenario.threads = {
      {"late", [=] { Publish(slab, 1); }},
      {"last",
       [=] {
         Publish(slab, 2);
         door_take_complete();
         if (hak_ptr_load_relaxed(&slab->mailbox) != nullptr) {
           door_set_flag(kNothing);
           return;
         }
         Expect(hak_shared_pool_acquire(next, world.size_class) == slab, "the lowest free unit");
         Expect(hak_slab_take_run(slab).mask == kAll, "a fresh slab is whole");
         door_set_flag(kBlock);
       }},
      {"freer",
       [=] {
         if (door_wait_for_flag() == kBlock) Publish(slab, 4);
       }},
  };
  scenario.end = [=] {
    CheckStacks(world);
    if (hak_ptr_load_relaxed(&slab->mailbox) != hak_heap_mailbox(next, world.size_class)) return;
    Drain(world, next);
    Expect(hak_u64_load_relaxed(&slab->remote_bits[0]) == 0, "a remote free stays unseen");
    Expect(slab->free_bits[0] == 4, "the freed block, and no other");
  };
  return scenario;
}

// A mailbox with a complete slab and another, and a third that is pushed meanwhile: both stay posted.
Scenario PutBack() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* a = AddSlab(&world, heap, 3);
  hak_slab* b = AddSlab(&world, heap, kAll);
  hak_slab* c = AddSlab(&world, heap, 3);
  hak_remote_free_publish(a, 0, 1);
  hak_remote_free_publish(b, 0, kAll);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { hak_remote_free_publish(c, 0, 1); }},
      {"taker", [] { door_take_complete(); }},
      {"owner", [=] { Drain(world, heap); }},
  };
  scenario.end = [=] {
    CheckStacks(world);
    DrainAll(world);
    Expect(hak_ptr_load_relaxed(&b->mailbox) == nullptr, "nobody took it");
    Expect(a->free_bits[0] == ~2ull && c->free_bits[0] == ~2ull, "a block is lost, or free that is not");
  };
  return scenario;
}

// Two takers on one mailbox.
Scenario TakeTwice() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* a = AddSlab(&world, heap, kAll);
  hak_slab* b = AddSlab(&world, heap, kAll);
  hak_remote_free_publish(a, 0, kAll);
  hak_remote_free_publish(b, 0, kAll - 1);
  Scenario scenario;
  scenario.threads = {
      {"publisher",
       [=] {
         hak_remote_free_publish(b, 0, 1);
         door_take_complete();
       }},
      {"taker", [] { door_take_complete(); }},
  };
  scenario.end = [=] { CheckAllIsMerged(world); };
  return scenario;
}

// The owner's thread ends, and its heap is drained by another, as a third takes what is complete.
Scenario TakeFromParked() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, kAll);
  hak_slab* partial = AddSlab(&world, heap, 3);
  hak_remote_free_publish(slab, 0, kAll);
  hak_remote_free_publish(partial, 0, 1);
  hak_heap_park(heap);
  Scenario scenario;
  scenario.threads = {
      {"taker", [] { door_take_complete(); }},
      {"helper", [=] { door_drain_first_parked(); }},
      {"heir",
       [=] {
         hak_heap* mine = hak_heap_acquire(1 << 20);
         if (mine == heap) Drain(world, mine);
       }},
  };
  scenario.end = [=] {
    CheckStacks(world);
    DrainAll(world);
    Expect(hak_ptr_load_relaxed(&slab->mailbox) == nullptr, "nobody took it");
    Expect(partial->free_bits[0] == ~2ull, "a block is lost, or free that is not");
  };
  return scenario;
}

// A slab that is posted for nothing, by a publisher that came late: while a taker has it, its owner frees the last blocks
// himself and releases it, and the next owner makes it one of another class. As many blocks as the former class had are not
// all of it.
Scenario TakeUnderANextClass() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* next = AddHeap(&world);
  const uint32_t next_class = hak_size_class_of(kTwoWordBytes);
  door_use_bin(next, next_class);
  hak_slab* slab = AddSlab(&world, heap, kAll);
  hak_slab* other = AddSlab(&world, heap, kAll);
  AddSlab(&world, heap, kAll); /* so that the SuperSlab stays in use */
  Publish(other, kAll);
  door_post_late(slab, hak_heap_mailbox(heap, world.size_class));
  Scenario scenario;
  scenario.threads = {
      {"taker", [] { door_take_complete(); }},
      {"owners",
       [=] {
         door_give(slab, kAll);
         hak_shared_pool_release(heap, slab);
         Expect(door_claim_unused(1) == slab, "the lowest free unit");
         door_fill_slab(slab, next, next_class);
         Expect(hak_slab_take_run(slab).mask == kAll, "a fresh slab is whole");
         Publish(slab, kAll);
       }},
  };
  scenario.end = [=] {
    Expect(hak_ptr_load_relaxed(&slab->mailbox) == hak_heap_mailbox(next, next_class), "taken, and not complete");
    Expect(hak_u64_load_relaxed(&slab->remote_bits[0]) == kAll, "the freed blocks wait for the owner");
  };
  return scenario;
}

}  // namespace

std::vector<NamedScenario> CompleteScenarios() {
  return {
      {"complete", "the last block, a taker, and the owner", TakeBesideTheOwner, true},
      {"complete_last", "the last two blocks and a taker", TakeBesidePublishers, true},
      {"complete_again", "complete for the second time, and a taker", TakeAgain, true},
      {"complete_words", "the last block of two words each", TakeTwoWords, true},
      {"complete_late", "taken under a publisher, with a new owner", TakeUnderAPublisher, true},
      {"complete_put_back", "a push while a taker holds the stack", PutBack, true},
      {"complete_twice", "two takers", TakeTwice, true},
      {"complete_parked", "of a parked heap that is drained and taken", TakeFromParked, true},
      {"complete_next", "released and of another class under a taker", TakeUnderANextClass, true},
  };
}

}  // namespace schedules
