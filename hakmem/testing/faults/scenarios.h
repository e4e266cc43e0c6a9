/* What a process does while system calls fail: each scenario goes on after every failure, and leaves the blocks that it
 * did get in `live`. */
#ifndef HAKMEM_TESTING_FAULTS_SCENARIOS_H_
#define HAKMEM_TESTING_FAULTS_SCENARIOS_H_

#include <stddef.h>

#include <mutex>
#include <thread>
#include <vector>

#include "hakmem/os/os_fake.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/whole/child.h"
#include <hakmem/hakmem.h>

namespace hak_faults {

using Blocks = std::vector<hak_model::Block>;

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

inline void Keep(const hak_model::Block& block, Blocks* live) {
  if (block) live->push_back(block);
}

inline void FreeEverySecond(hak_model::Checked* heap, Blocks* live) {
  Blocks kept;
  for (size_t i = 0; i < live->size(); i++) {
    if (i % 2 == 0) {
      heap->Free((*live)[i]);
    } else {
      kept.push_back((*live)[i]);
    }
  }
  live->swap(kept);
}

inline void FreeAll(hak_model::Checked* heap, Blocks* live) {
  for (const hak_model::Block& block : *live) heap->Free(block);
  live->clear();
}

inline void MallocSizes(hak_model::Checked* heap, Blocks* live, const std::vector<size_t>& sizes) {
  for (int round = 0; round < 2; round++) {
    for (const size_t bytes : sizes) Keep(heap->Malloc(bytes), live);
    FreeEverySecond(heap, live);
  }
}

inline void Tiny(hak_model::Checked* heap, Blocks* live) {
  for (int i = 0; i < 10; i++) MallocSizes(heap, live, {0, 1, 16, 100, 128, 500, 1000, 1024});
}

inline void Mid(hak_model::Checked* heap, Blocks* live) {
  for (int i = 0; i < 4; i++)
    MallocSizes(heap, live, {1025, 4000, 10000, 32768, 50000, 128 * kKiB, 200000, 256 * kKiB});
}

inline void Spans(hak_model::Checked* heap, Blocks* live) {
  MallocSizes(heap, live, {256 * kKiB + 1, 300000, kMiB, 1500000, 1984 * kKiB});
}

/* 17 MiB are more than the whale cache keeps of one block. */
inline void Whales(hak_model::Checked* heap, Blocks* live) {
  for (int i = 0; i < 2; i++) MallocSizes(heap, live, {1984 * kKiB + 1, 3 * kMiB});
  heap->Free(heap->Malloc(17 * kMiB));
}

inline void Calloc(hak_model::Checked* heap, Blocks* live) {
  for (int i = 0; i < 2; i++) {
    for (const size_t bytes : {size_t{10}, size_t{1000}, size_t{5000}, 60 * kKiB, 250 * kKiB, 700 * kKiB, 2 * kMiB}) {
      Keep(heap->Calloc(7, bytes / 7), live);
    }
    FreeEverySecond(heap, live);
  }
}

/* From block to span to whale and back, with something behind each span that stops it from growing in place. */
inline void Realloc(hak_model::Checked* heap, Blocks* live) {
  for (int i = 0; i < 2; i++) {
    hak_model::Block block;
    for (const size_t bytes : {size_t{100}, 5 * kKiB, 100 * kKiB, 300 * kKiB, 400 * kKiB, 1500 * kKiB, 2 * kMiB,
                               3 * kMiB, 2 * kMiB, 300 * kKiB, 5 * kKiB}) {
      heap->Realloc(&block, bytes);
      Keep(heap->Malloc(bytes / 10), live);
    }
    heap->Rezalloc(&block, 2 * kMiB);
    if (block) heap->Expand(&block, 2 * kMiB + 1);
    if (block) heap->Expand(&block, kMiB);
    Keep(block, live);
  }
}

inline void Aligned(hak_model::Checked* heap, Blocks* live) {
  for (const size_t bytes : {size_t{1}, 100 * kKiB, kMiB}) {
    for (size_t alignment = 32; alignment <= 2 * kMiB; alignment *= 16) {
      Keep(heap->AlignedAlloc(alignment, bytes), live);
      Keep(heap->PosixMemalign(alignment, bytes), live);
      Keep(heap->Memalign(alignment - 1, bytes), live);
    }
    FreeEverySecond(heap, live);
  }
}

/* Each thread frees what the one before it left, so that blocks go home to heaps that are parked. */
inline void Threads(hak_model::Checked* heap, Blocks* live) {
  for (int i = 0; i < 4; i++) {
    std::thread([=] {
      FreeEverySecond(heap, live);
      MallocSizes(heap, live, {16, 1000, 100000, kMiB, 2 * kMiB});
      if (i % 2 == 1) hak_trim();
    }).join();
  }
}

/* Memory grows old under a clock that the test moves. */
inline void Decay(hak_model::Checked* heap, Blocks* live) {
  hak_os_fake_set_clock_ms(1000);
  for (int i = 0; i < 2; i++) {
    MallocSizes(heap, live, {100, 10000, 60000, 250000, 500000, 2 * kMiB});
    FreeAll(heap, live);
    hak_os_fake_advance_clock_ms(2000);
    Tiny(heap, live);
  }
}

inline void Trim(hak_model::Checked* heap, Blocks* live) {
  for (int i = 0; i < 2; i++) {
    MallocSizes(heap, live, {100, 10000, 60000, 250000, 500000, 2 * kMiB});
    FreeEverySecond(heap, live);
    hak_trim();
    FreeAll(heap, live);
    hak_trim();
  }
}

/* Whales that grow in place, move, and are cut, with others in their way. */
inline void WhaleRealloc(hak_model::Checked* heap, Blocks* live) {
  hak_model::Block blocks[2];
  for (const size_t bytes : {2 * kMiB, 3 * kMiB, 5 * kMiB, 2 * kMiB + 1, 1500 * kKiB, 4 * kMiB}) {
    for (hak_model::Block& block : blocks) heap->Realloc(&block, bytes);
  }
  for (const hak_model::Block& block : blocks) Keep(block, live);
}

/* Whales aligned to more than a SuperSlab, as thread stacks and huge pages of the program are. */
inline void HugeAlignments(hak_model::Checked* heap, Blocks* live) {
  for (size_t alignment = 4 * kMiB; alignment <= 64 * kMiB; alignment *= 4) {
    Keep(heap->AlignedAlloc(alignment, 100), live);
    Keep(heap->AlignedAlloc(alignment, 3 * kMiB), live);
  }
}

inline void Batches(hak_model::Checked* heap, Blocks* live) {
  hak_model::Block blocks[64];
  for (const size_t bytes : {size_t{16}, size_t{700}, size_t{9000}, 200 * kKiB}) {
    const size_t wanted = bytes > 100000 ? 20 : 64;
    const size_t count = heap->MallocBatch(bytes, wanted, blocks);
    heap->FreeBatch(blocks, count / 2);
    for (size_t i = count / 2; i < count; i++) Keep(blocks[i], live);
  }
}

/* Each mapping lies 4 GiB from the last, so that the registry needs a new leaf for each. The place is one where every
 * sanitizer lets a program have memory. */
inline void FarApart(hak_model::Checked* heap, Blocks* live) {
  hak_os_fake_spread(uintptr_t{0x7ea000000000}, 4096 * kMiB);
  MallocSizes(heap, live, {100, 300000, 1500000, 2 * kMiB, 3 * kMiB});
  hak_model::Block block;
  for (const size_t bytes : {2 * kMiB, 4 * kMiB, 7 * kMiB}) heap->Realloc(&block, bytes);
  Keep(block, live);
  hak_os_fake_spread(0, 0);
}

/* Blocks of a thread that is gone are freed by another, and the other way round. */
inline void Strangers(hak_model::Checked* heap, Blocks* live) {
  for (int i = 0; i < 3; i++) {
    Blocks theirs;
    std::thread([&] {
      for (int k = 0; k < 200; k++) Keep(heap->Malloc(static_cast<size_t>(k) * 300), &theirs);
    }).join();
    MallocSizes(heap, live, {16, 20000, 130000});
    FreeEverySecond(heap, &theirs);
    std::thread([&] { FreeAll(heap, live); }).join();
    FreeAll(heap, &theirs);
  }
}

/* Threads that allocate, free each other's blocks and end at the same time. */
inline void ThreadsTogether(hak_model::Checked* heap, Blocks* live) {
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&] {
      Blocks own;
      MallocSizes(heap, &own, {16, 1000, 50000, 300000, 2 * kMiB});
      const std::lock_guard<std::mutex> lock(mutex);
      FreeEverySecond(heap, live);
      live->insert(live->end(), own.begin(), own.end());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/* The child has to do without as its parent has. */
inline void Fork(hak_model::Checked* heap, Blocks* live) {
  MallocSizes(heap, live, {16, 5000, 300000, 2 * kMiB});
  EXPECT_TRUE(hak_testing::SucceedsInChild([&] {
    FreeEverySecond(heap, live);
    MallocSizes(heap, live, {100, 60000, kMiB, 3 * kMiB});
    FreeAll(heap, live);
  }));
  MallocSizes(heap, live, {16, 5000, 300000, 2 * kMiB});
}

struct Scenario {
  const char* name;
  void (*run)(hak_model::Checked* heap, Blocks* live);
  bool is_repeatable = true;           /* every run makes the same system calls */
  size_t alignment_bytes = 2 * kMiB;   /* the largest it asks for */
  size_t more_descriptor_bytes = 4096; /* for whales that are there longer: less than any other descriptor takes */
};

constexpr Scenario kScenarios[] = {
    {"Tiny", Tiny},
    {"Mid", Mid},
    /* What could not go back is used before clean units that have room for more: that may take one SuperSlab more. */
    {"Spans", Spans, true, 2 * kMiB, 44 * kKiB},
    {"Whales", Whales},
    {"Calloc", Calloc},
    /* A block that gets no room to grow lies elsewhere, with others: that may take one SuperSlab more. */
    {"Realloc", Realloc, true, 2 * kMiB, 44 * kKiB},
    {"WhaleRealloc", WhaleRealloc},
    {"Aligned", Aligned},
    {"HugeAlignments", HugeAlignments, true, 64 * kMiB},
    {"Batches", Batches, true, 2 * kMiB, 44 * kKiB}, /* the same */
    {"FarApart", FarApart},
    {"Threads", Threads},
    {"Strangers", Strangers},
    {"ThreadsTogether", ThreadsTogether, false, 2 * kMiB, 512 * kKiB},
    {"Fork", Fork},
    {"Decay", Decay},
    {"Trim", Trim},
};

}  // namespace hak_faults

#endif /* HAKMEM_TESTING_FAULTS_SCENARIOS_H_ */
