/* What a process does while system calls fail: each scenario goes on after every failure, and leaves the blocks that it
 * did get in `live`. */
#ifndef HAKMEM_TESTING_FAULTS_SCENARIOS_H_
#define HAKMEM_TESTING_FAULTS_SCENARIOS_H_

#include <stddef.h>

#include <thread>
#include <vector>

#include "hakmem/os/os_fake.h"
#include "hakmem/testing/model/checked.h"
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

struct Scenario {
  const char* name;
  void (*run)(hak_model::Checked* heap, Blocks* live);
};

constexpr Scenario kScenarios[] = {
    {"Tiny", Tiny},       {"Mid", Mid},         {"Spans", Spans},     {"Whales", Whales}, {"Calloc", Calloc},
    {"Realloc", Realloc}, {"Aligned", Aligned}, {"Threads", Threads}, {"Decay", Decay},   {"Trim", Trim},
};

}  // namespace hak_faults

#endif /* HAKMEM_TESTING_FAULTS_SCENARIOS_H_ */
