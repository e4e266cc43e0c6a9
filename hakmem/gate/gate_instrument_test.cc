// Every way to allocate, resize and free, while the thread is instrumented.
#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "hakmem/gate/gate_test_inl.h"
#include "hakmem/heap/heap.h"
#include "hakmem/instrument/instrument.h"

namespace {

struct Event {
  hak_instrument_op op;
  const void* ptr;
  size_t bytes;
};

thread_local std::vector<size_t> samples;
thread_local void* replacement;
thread_local size_t resampled_bytes;
thread_local bool resample_is_sample;
thread_local std::vector<Event>* events;

uint64_t Always() { return 0; }  // the countdown ends with each byte

void* Sample(void* block, size_t bytes) {
  samples.push_back(bytes);
  return replacement == nullptr ? block : replacement;
}

void Resample(void*, const void*, size_t bytes, bool is_sampled) {
  resampled_bytes = bytes;
  resample_is_sample = is_sampled;
}

void Record(hak_instrument_op op, const void* ptr, size_t bytes) {
  if (events == nullptr) return;
  std::vector<Event>* to = events;
  events = nullptr; /* the vector's own blocks are not recorded */
  to->push_back({op, ptr, bytes});
  events = to;
}

class GateInstrument : public Gate {
 protected:
  void SetUp() override {
    Gate::SetUp();
    samples.clear();
    replacement = nullptr;
    hak_instrument_hook_samples(Always, Sample, Resample);
    hak_instrument_hook_records(Record);
    hak_free(hak_malloc(1)); /* the thread has a heap */
  }

  void TearDown() override {
    events = nullptr;
    hak_instrument_reset_for_test();
    Gate::TearDown();
  }

  // From this thread's next slow path on.
  static void Want(uint32_t mode) {
    hak_instrument_want(HAK_INSTRUMENT_ALL, false);
    hak_instrument_want(mode, true);
    hak_free(hak_malloc(600 * kKiB));
    samples.clear();
  }
};

TEST_F(GateInstrument, EveryAllocationIsCountedOnceWithWhatWasAskedFor) {
  Want(HAK_INSTRUMENT_SAMPLE);
  for (const size_t size : BorderSizes()) {
    const auto check = [size](const char* name, void* block, size_t counted) {
      ASSERT_NE(block, nullptr) << name << " of " << size;
      ASSERT_EQ(samples.size(), 1u) << name << " of " << size;
      EXPECT_EQ(samples[0], counted) << name << " of " << size;
      samples.clear();
      hak_free(block);
      ASSERT_TRUE(samples.empty()) << name << " of " << size;
    };
    check("malloc", hak_malloc(size), size);
    check("calloc", hak_calloc(1, size), size);
    check("realloc", hak_realloc(nullptr, size), size);
    check("rezalloc", hak_rezalloc(nullptr, 0, size), size);
    check("aligned_alloc", hak_aligned_alloc(8, size), size);
    void* one = nullptr;
    EXPECT_EQ(hak_malloc_batch(size, 1, &one), 1u);
    check("batch", one, size);
  }
  for (const size_t alignment : {32u, 4096u, 65536u, 262144u}) {
    hak_free(hak_aligned_alloc(alignment, 100));
    ASSERT_EQ(samples.size(), 1u) << alignment;
    EXPECT_GE(samples[0], 100u);
    EXPECT_LE(samples[0], 65536u) << "at most what is rounded up to the alignment";
    samples.clear();
  }
}

TEST_F(GateInstrument, BlocksThatMoveAreCountedAnewAndThoseThatGrowByWhatTheyGrow) {
  Want(HAK_INSTRUMENT_SAMPLE);
  void* block = hak_malloc(20);
  samples.clear();
  block = hak_realloc(block, 30);
  EXPECT_TRUE(samples.empty()) << "where it lies";
  block = hak_realloc(block, 5000);
  EXPECT_EQ(samples, std::vector<size_t>{5000});
  block = hak_realloc(block, 40 * kKiB);
  samples.clear();
  block = hak_realloc(block, 50 * kKiB);
  EXPECT_EQ(samples.size() + (resampled_bytes == 50 * kKiB), 1u) << "one of the two, as room has it";
  resampled_bytes = 0;
  block = hak_realloc(block, 5 * kMiB);
  samples.clear();
  block = hak_realloc(block, 20 * kMiB);
  EXPECT_TRUE(samples.empty()) << "a whale's pages move";
  EXPECT_EQ(resampled_bytes, 20 * kMiB);
  EXPECT_TRUE(resample_is_sample);
  block = hak_realloc(block, 4 * kMiB);
  EXPECT_EQ(resampled_bytes, 4 * kMiB);
  EXPECT_FALSE(resample_is_sample) << "nothing grew";
  hak_free(block);
  EXPECT_EQ(errno, kErrno);
}

TEST_F(GateInstrument, ExpandCounts) {
  Want(HAK_INSTRUMENT_SAMPLE);
  void* span = hak_malloc(300 * kKiB);
  resampled_bytes = 0;
  if (hak_expand(span, 800 * kKiB) != nullptr) {
    EXPECT_EQ(resampled_bytes, 800 * kKiB);
  }
  hak_free(span);
}

TEST_F(GateInstrument, CallocClearsWhatTheHookPutsInItsPlace) {
  Want(HAK_INSTRUMENT_SAMPLE);
  for (const size_t size : {size_t{100}, size_t{3000}, size_t{40 * kKiB}}) {
    void* stand_in = hak_malloc(size);
    Fill(stand_in, size, 3);
    replacement = stand_in;
    void* block = hak_calloc(1, size);
    replacement = nullptr;
    EXPECT_EQ(block, stand_in);
    EXPECT_TRUE(IsZero(block, size)) << size;
    hak_free(block);
  }
}

// What is live never overlaps, what is recorded tells the same story, and the heap works on as it did.
TEST_F(GateInstrument, ARecordTellsWhatIsLive) {
  std::vector<Event> seen;
  seen.reserve(100000);
  for (const uint32_t mode : {HAK_INSTRUMENT_RECORD, HAK_INSTRUMENT_ALL}) {
    Want(mode);
    seen.clear();
    events = &seen;
    void* blocks[64] = {};
    size_t sizes[64] = {};
    uint64_t random = 12345;
    for (int i = 0; i < 4000; i++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const unsigned at = (random >> 33) % 64;
      const size_t size = (random >> 40) % 100 == 0 ? (random >> 45) % (3 * kMiB) : (random >> 45) % 3000;
      if (blocks[at] == nullptr) {
        blocks[at] = hak_malloc(size);
      } else if ((random >> 39) % 3 == 0) {
        ASSERT_TRUE(Holds(blocks[at], sizes[at] < size ? sizes[at] : size, at));
        blocks[at] = hak_realloc(blocks[at], size + 1);
      } else {
        ASSERT_TRUE(Holds(blocks[at], sizes[at], at));
        hak_free(blocks[at]);
        blocks[at] = nullptr;
        continue;
      }
      ASSERT_NE(blocks[at], nullptr);
      sizes[at] = size;
      Fill(blocks[at], size, at);
    }
    events = nullptr;
    std::map<const void*, size_t> live;
    for (const Event& event : seen) {
      switch (event.op) {
        case HAK_INSTRUMENT_MALLOC: ASSERT_TRUE(live.emplace(event.ptr, event.bytes).second); break;
        case HAK_INSTRUMENT_FREE: ASSERT_EQ(live.erase(event.ptr), 1u); break;
        case HAK_INSTRUMENT_RESIZE:
          ASSERT_EQ(live.count(event.ptr), 1u);
          live[event.ptr] = event.bytes;
          break;
      }
    }
    size_t count = 0;
    for (unsigned i = 0; i < 64; i++) {
      if (blocks[i] == nullptr) continue;
      EXPECT_EQ(live.count(blocks[i]), 1u) << i;
      count++;
      hak_free(blocks[i]);
    }
    EXPECT_EQ(live.size(), count);
  }
  EXPECT_EQ(errno, kErrno);
}

TEST_F(GateInstrument, InstrumentedFreesFillTheCacheThatMallocsTakeFrom) {
  Want(HAK_INSTRUMENT_RECORD);
  void* first = hak_malloc(64);
  hak_free(first);
  EXPECT_EQ(hak_malloc(64), first);
  hak_free(first);
  EXPECT_EQ(hak_heap_frees, &hak_heap_empty);
  Want(0);
  EXPECT_EQ(hak_heap_frees, hak_heap_current);
  EXPECT_EQ(hak_malloc(64), first) << "and the hit paths go on with it";
  hak_free(first);
}

TEST_F(GateInstrument, ADoubleFreeIsStillSeen) {
  hak_set_error_action(HAK_ERROR_IGNORE);
  Want(HAK_INSTRUMENT_RECORD);
  void* block = hak_malloc(64);
  hak_free(block);
  const uint64_t before = hak_misuse_count();
  hak_free(block);
  EXPECT_EQ(hak_misuse_count(), before + 1);
}

TEST_F(GateInstrument, NoMemoryIsRecordedAndSaid) {
  std::vector<Event> seen;
  seen.reserve(10);
  Want(HAK_INSTRUMENT_ALL);
  events = &seen;
  EXPECT_EQ(hak_malloc(kTooMuch), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  events = nullptr;
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].ptr, nullptr);
  EXPECT_TRUE(samples.empty());
}

TEST_F(GateInstrument, ThreadsComeAndGoInstrumented) {
  Want(HAK_INSTRUMENT_ALL);
  void* from_other = nullptr;
  std::thread([&from_other] {
    std::vector<Event> seen;
    seen.reserve(100);
    events = &seen;
    from_other = hak_malloc(100);
    void* mine = hak_malloc(200);
    hak_free(mine);
    events = nullptr;
    EXPECT_EQ(seen.size(), 3u);
    EXPECT_EQ(samples.size(), 2u);
    samples.clear();
  }).join();
  std::vector<Event> seen;
  seen.reserve(10);
  events = &seen;
  hak_free(from_other);
  events = nullptr;
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].ptr, from_other);
}

// Modes change while threads allocate and free each other's blocks.
TEST_F(GateInstrument, ModesChangeUnderThreadsThatExchangeBlocks) {
  std::atomic<bool> stop{false};
  std::atomic<void*> shelf[64] = {};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; t++) {
    threads.emplace_back([&, t] {
      uint64_t random = t + 1;
      for (int i = 0; !stop || i < 60000; i++) { /* long enough that they count as exchanging */
        random = random * 6364136223846793005u + 1442695040888963407u;
        const size_t size = 8 + (random >> 40) % 2000;
        void* block = hak_malloc(size);
        memcpy(block, &size, sizeof size);
        static_cast<char*>(block)[size - 1] = 7;
        hak_free(shelf[(random >> 33) % 64].exchange(block));
      }
    });
  }
  for (int i = 0; i < 200; i++) {
    hak_instrument_want(HAK_INSTRUMENT_SAMPLE, i % 2 == 0);
    hak_instrument_want(HAK_INSTRUMENT_RECORD, i % 3 == 0);
    std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (std::atomic<void*>& block : shelf) hak_free(block.load());
}

}  // namespace
