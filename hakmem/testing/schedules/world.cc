#include "hakmem/testing/schedules/world.h"

#include <stdio.h>

#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"

namespace schedules {
namespace {

void Name(const void* address, size_t bytes, const char* name, uint32_t n) {
  NameObject(address, bytes, std::string(name) + (name[std::string(name).size() - 1] == ' ' ? std::to_string(n) : ""));
}

// How many times `slab` is on a stack.
int TimesPosted(const World& world, const hak_slab* slab) {
  int times = 0;
  for (hak_heap* heap : world.heaps) {
    const hak_mailbox* mailbox = hak_heap_mailbox(heap, world.size_class);
    const hak_slab* posted = static_cast<const hak_slab*>(hak_ptr_load_relaxed(&mailbox->head));
    for (int length = 0; posted != nullptr; posted = posted->pending_next) {
      Expect(++length <= 16, "a stack that does not end");
      times += posted == slab ? 1 : 0;
    }
  }
  return times;
}

// How far the merging has come.
std::string Outcome(const World& world) {
  std::string outcome;
  for (const hak_slab* slab : world.slabs) {
    char text[80];
    snprintf(text, sizeof text, "%u:%llx,%llx ", hak_u32_load_relaxed(&slab->pending),
             static_cast<unsigned long long>(hak_u64_load_relaxed(&slab->remote_bits[0])),
             static_cast<unsigned long long>(slab->free_bits[0]));
    outcome += text;
  }
  return outcome;
}

}  // namespace

World NewWorld(uint32_t block_bytes) {
  door_reset_fakes();
  World world;
  world.size_class = hak_size_class_of(block_bytes);
  return world;
}

hak_heap* AddHeap(World* world) {
  hak_heap* heap = hak_heap_acquire(1 << 20);
  hak_bin* bin = hak_heap_bin(heap, world->size_class);
  door_use_bin(heap, world->size_class);
  const std::string name = "heap " + std::to_string(world->heaps.size());
  hak_mailbox* mailbox = hak_heap_mailbox(heap, world->size_class);
  NameObject(&mailbox->head, sizeof mailbox->head, "mailbox of " + name);
  NameObject(&bin->partial, sizeof bin->partial, "partial of " + name);
  NameObject(heap, sizeof *heap, name);
  world->heaps.push_back(heap);
  return heap;
}

hak_slab* AddSlab(World* world, hak_heap* heap, uint64_t out) {
  hak_slab* slab = hak_shared_pool_acquire(heap, world->size_class);
  if (world->slabs.empty()) door_name_superslab(0, Name);
  for (uint32_t word = 0; word < slab->words; word++) (void)hak_slab_take_run(slab);
  for (uint32_t word = 0; word < slab->words; word++) (void)hak_slab_give_word(slab, word, ~out);
  if (out != ~0ull) hak_slab_list_push(&hak_heap_bin(heap, world->size_class)->partial, slab);
  world->slabs.push_back(slab);
  return slab;
}

int Drain(const World& world, hak_heap* heap) { return door_drain(heap, world.size_class); }

void Publish(hak_slab* slab, uint64_t mask, uint32_t word) {
  if (word == 0) Use(mask);
  Expect(hak_remote_free_publish(slab, word, mask) != HAK_REMOTE_FREE_DOUBLE, "a block is free twice");
}

void Use(uint64_t mask) { door_use_blocks(mask & 0xff); }

void TakeAndUse(hak_slab* slab) { door_use_blocks(door_free_blocks(slab) & 0xff); }

void DrainAll(const World& world) {
  for (int round = 0; round < 4; round++) {
    for (hak_heap* heap : world.heaps) {
      if (hak_remote_free_is_posted(hak_heap_mailbox(heap, world.size_class))) Drain(world, heap);
    }
  }
}

void CheckStacks(const World& world) {
  for (const hak_slab* slab : world.slabs) {
    const int times = TimesPosted(world, slab);
    const bool is_pending = hak_u32_load_relaxed(&slab->pending) != 0;
    Expect(times <= 1, "a slab is on two stacks");
    Expect(is_pending == (times == 1), "a slab is pending and on no stack, or the other way round");
    for (uint32_t word = 0; word < slab->words; word++) {
      Expect(hak_u64_load_relaxed(&slab->remote_bits[word]) == 0 || times == 1, "nobody comes for a remote free");
    }
  }
}

void CheckAllIsMerged(const World& world, uint64_t out) {
  CheckStacks(world);
  NoteOutcome(Outcome(world));
  DrainAll(world);
  for (const hak_slab* slab : world.slabs) {
    Expect(hak_u32_load_relaxed(&slab->pending) == 0, "a slab stays pending");
    const bool is_owned = hak_ptr_load_relaxed(&slab->mailbox) != nullptr;
    Expect(!is_owned || hak_slab_is_valid(slab), "a slab's books do not add up");
    for (uint32_t word = 0; word < slab->words; word++) {
      Expect(hak_u64_load_relaxed(&slab->remote_bits[word]) == 0, "a remote free stays unseen");
      Expect(!is_owned || slab->free_bits[word] == ~out, "a block is lost, or free that is not");
    }
  }
}

}  // namespace schedules
