// Publication of remote frees against collection: docs/memory_order.md, "Remote bits and pending".
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/testing/schedules/scenarios.h"
#include "hakmem/testing/schedules/world.h"

namespace schedules {
namespace {

// Two threads free a block each of one slab, while its owner looks.
Scenario PublishAndCollect() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 0xff);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1); }},
      {"publisher 2", [=] { Publish(slab, 2); }},
      {"owner",
       [=] {
         Drain(world, heap);
         TakeAndUse(slab);
       }},
  };
  scenario.end = [=] { CheckAllIsMerged(world, 0xfc); };
  return scenario;
}

// A word each: the one may be seen when the other is not.
Scenario PublishTwoWords() {
  World world = NewWorld(kTwoWordBytes);
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 3);
  Scenario scenario;
  scenario.threads = {
      {"publisher", [=] { Publish(slab, 1, 0); }},
      {"publisher 2", [=] { Publish(slab, 1, 1); }},
      {"owner",
       [=] {
         Drain(world, heap);
         Drain(world, heap);
       }},
  };
  scenario.end = [=] { CheckAllIsMerged(world, 2); };
  return scenario;
}

// The same thread again and again, so that pending goes up and down more than once.
Scenario PublishAndLook(int looks) {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 0xff);
  Scenario scenario;
  scenario.threads = {
      {"publisher",
       [=] {
         Publish(slab, 1);
         Publish(slab, 2);
       }},
      {"owner",
       [=] {
         for (int i = 0; i < looks; i++) Drain(world, heap);
       }},
  };
  scenario.end = [=] { CheckAllIsMerged(world, 0xfc); };
  return scenario;
}

Scenario PublishAgain() { return PublishAndLook(2); }

// Few enough that a test of the explorer runs every schedule without the reduction.
Scenario PublishTwice() { return PublishAndLook(1); }

// Several slabs on one stack.
Scenario PushAndDrain() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_slab* a = AddSlab(&world, heap, 3);
  hak_slab* b = AddSlab(&world, heap, 3);
  hak_slab* c = AddSlab(&world, heap, 3);
  Scenario scenario;
  scenario.threads = {
      {"publisher",
       [=] {
         hak_remote_free_publish(a, 0, 1);
         hak_remote_free_publish(b, 0, 1);
       }},
      {"publisher 2", [=] { hak_remote_free_publish(c, 0, 1); }},
      {"owner", [=] { Drain(world, heap); }},
  };
  scenario.end = [=] { CheckAllIsMerged(world, 2); };
  return scenario;
}

// By way of out-boxes, both of which hold blocks of the slab.
Scenario FlushOutboxes() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* other = AddHeap(&world);
  hak_heap* third = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 0xff);
  const auto free_two = [=](hak_heap* from, uint32_t first) {
    Expect(hak_remote_free_push(from, slab, first) == HAK_REMOTE_FREE_DONE, "done");
    Expect(hak_remote_free_push(from, slab, first + 1) == HAK_REMOTE_FREE_DONE, "done");
    hak_remote_free_flush(from);
  };
  Scenario scenario;
  scenario.threads = {
      {"freer", [=] { free_two(other, 0); }},
      {"freer 2", [=] { free_two(third, 2); }},
      {"owner", [=] { Drain(world, heap); }},
  };
  scenario.end = [=] { CheckAllIsMerged(world, 0xf0); };
  return scenario;
}

}  // namespace

std::vector<NamedScenario> RemoteFreeScenarios() {
  return {
      {"publish", "two publishers and a collector on one slab", PublishAndCollect, true},
      {"publish_words", "two publishers to a word each, and a collector twice", PublishTwoWords, true},
      {"publish_again", "one publisher twice, the collector twice", PublishAgain, true},
      {"publish_twice", "one publisher twice, the collector once", PublishTwice, true},
      {"mailbox", "pushes of three slabs and a drain", PushAndDrain, true},
      {"outbox", "two out-boxes flushed, and a collector", FlushOutboxes, true},
  };
}

}  // namespace schedules
