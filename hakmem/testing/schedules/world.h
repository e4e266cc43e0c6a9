// Heaps and slabs for the scenarios, made by the boxes themselves, and what must hold of them in the end.
#ifndef HAKMEM_TESTING_SCHEDULES_WORLD_H_
#define HAKMEM_TESTING_SCHEDULES_WORLD_H_

#include <vector>

#include "hakmem/heap/heap.h"
#include "hakmem/slab/slab.h"
#include "hakmem/testing/schedules/doors.h"
#include "hakmem/testing/schedules/explorer.h"

namespace schedules {

// 64 blocks, one bitmap word; and 128, two words.
constexpr uint32_t kBlockBytes = 1024;
constexpr uint32_t kTwoWordBytes = 512;

struct World {
  uint32_t size_class;
  std::vector<hak_heap*> heaps;
  std::vector<hak_slab*> slabs;
};

// A heap, active, with its bin of the class in use.
hak_heap* AddHeap(World* world);
// A slab of `heap`, of whose blocks the program has those of `out`, in each word.
hak_slab* AddSlab(World* world, hak_heap* heap, uint64_t out);
World NewWorld(uint32_t block_bytes = kBlockBytes);

// Owners, outside of the exploration: what they find in their mailboxes, they merge, until nothing is left there. Slabs
// that become empty are released.
void DrainAll(const World& world);
// A slab is on one stack exactly if it is marked pending; one with remote bits is on one.
void CheckStacks(const World& world);
// CheckStacks, DrainAll, and then: no remote bit is left, and of each slab that has an owner exactly the blocks of `out`
// are missing, in each word.
void CheckAllIsMerged(const World& world, uint64_t out = 0);

// --- what threads of scenarios do ---

// Owner: merges what is posted, and releases what becomes empty. Returns the number of slabs released.
int Drain(const World& world, hak_heap* heap);
void Publish(hak_slab* slab, uint64_t mask, uint32_t word = 0);
// Writes to the blocks of `mask` in word 0, as the program does before it frees one and when it has got one.
void Use(uint64_t mask);
// Owner: takes the free blocks of the slab, of the first eight, and uses them.
void TakeAndUse(hak_slab* slab);

}  // namespace schedules

#endif  // HAKMEM_TESTING_SCHEDULES_WORLD_H_
