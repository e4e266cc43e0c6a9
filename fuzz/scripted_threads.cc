#include "fuzz/scripted_threads.h"

#include <pthread.h>
#include <string.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "fuzz/input.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/slab/slab.h"
#include "hakmem/unified_cache/unified_cache.h"
#include "hakmem/whale_cache/whale_cache.h"
#include <hakmem/hakmem.h>

namespace fuzz {

namespace {

/* Beyond every decay time: what an input left behind is due when the next begins. */
constexpr uint64_t kMsBetweenScripts = 1000000;

uint64_t clock_ms = kMsBetweenScripts;

/* A thread that lives on in a destructor of thread-specific data, after the allocator's own has run. */
class LateThread {
 public:
  LateThread() {
    FUZZ_CHECK(pthread_key_create(&key_, Live) == 0);
    std::thread([this] {
      hak_free(hak_malloc(1)); /* or there is no exit hook */
      FUZZ_CHECK(pthread_setspecific(key_, this) == 0);
    }).detach();
  }

  void Run(const std::function<void()>& act) {
    std::unique_lock<std::mutex> lock(mutex_);
    act_ = &act;
    changed_.notify_all();
    changed_.wait(lock, [this] { return act_ == nullptr; });
  }

 private:
  /* The order of destructors is libc's affair; in the second round all have run. */
  static void Live(void* arg) {
    LateThread* self = static_cast<LateThread*>(arg);
    if (self->rounds_++ == 0) {
      FUZZ_CHECK(pthread_setspecific(self->key_, self) == 0);
      return;
    }
    FUZZ_CHECK(hak_heap_current == &hak_heap_empty);
    std::unique_lock<std::mutex> lock(self->mutex_);
    for (;;) {
      self->changed_.wait(lock, [self] { return self->act_ != nullptr; });
      (*self->act_)();
      self->act_ = nullptr;
      self->changed_.notify_all();
    }
  }

  pthread_key_t key_{};
  int rounds_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* act_ = nullptr;
};

void Flush(hak_heap* heap) {
  hak_heap_enter(heap);
  hak_unified_cache_flush(heap);
  hak_heap_leave(heap);
}

void AuditSlab(const hak_heap* heap, const hak_bin* bin, const hak_slab* slab) {
  FUZZ_CHECK(hak_slab_is_valid(slab));
  FUZZ_CHECK(slab->size_class == bin->size_class && slab->bin == bin);
  FUZZ_CHECK(hak_registry_word(slab->base) == reinterpret_cast<uintptr_t>(bin));
  FUZZ_CHECK(hak_registry_owner(slab->base) == slab);
  FUZZ_CHECK(hak_ptr_load_seq(&slab->mailbox) == &heap->mailboxes[bin->size_class]);
}

/* Returns the bytes that the bin may cache. */
uint64_t AuditBin(const hak_heap* heap, const hak_bin* bin) {
  FUZZ_CHECK(bin->begin <= bin->top && bin->top <= bin->end && hak_bin_cap(bin) <= HAK_BIN_SLOTS(bin->size_class));
  FUZZ_CHECK(*bin->end == nullptr && bin->first == *bin->top);
  FUZZ_CHECK(bin->stride == hak_size_class_table[bin->size_class].block_bytes);
  if (bin->current != nullptr) {
    AuditSlab(heap, bin, bin->current);
    FUZZ_CHECK(!bin->current->listed);
  }
  const hak_slab* previous = nullptr;
  for (const hak_slab* slab = bin->partial; slab != nullptr; slab = slab->next) {
    AuditSlab(heap, bin, slab);
    FUZZ_CHECK(slab->listed && slab->prev == previous && slab != bin->current && hak_slab_free_count(slab) != 0);
    previous = slab;
  }
  return uint64_t{hak_bin_cap(bin)} * bin->stride;
}

void AuditHeap(hak_heap* heap) {
  uint64_t granted_bytes = 0;
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const hak_bin* bin = hak_heap_bin(heap, c);
    if (bin->stride != 0) granted_bytes += AuditBin(heap, bin);
  }
  FUZZ_CHECK(granted_bytes == heap->budget.granted_bytes);
  FUZZ_CHECK(hak_u32_load_relaxed(&heap->in_slow_path) == 0);
}

/* A heap that holds nothing as one that was never used. */
void Renew(hak_heap* heap, uint64_t cache_limit_bytes) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    hak_bin* bin = hak_heap_bin(heap, c);
    FUZZ_CHECK(bin->top == bin->end && bin->run_mask == 0 && bin->current == nullptr && bin->partial == nullptr);
    FUZZ_CHECK(!hak_remote_free_is_posted(hak_heap_mailbox(heap, c)));
    void** const begin = bin->begin;
    const uint8_t slots_at = bin->slots_at;
    memset(bin, 0, sizeof *bin);
    /* Slots of its own, which nobody else can have. */
    if (begin != bin->near_slots) bin->begin = bin->top = bin->end = begin;
    bin->slots_at = slots_at;
  }
  for (hak_outbox_entry& entry : heap->outbox) {
    FUZZ_CHECK(entry.slab == nullptr);
    entry = hak_outbox_entry();
  }
  heap->budget = hak_mid_ace_budget();
  heap->budget.limit_bytes = cache_limit_bytes;
  for (hak_mid_ace_bin& ace : heap->ace) ace = hak_mid_ace_bin();
  heap->slow_ticks = 0;
  heap->surplus_seen = hak_shared_pool_surplus_count();
  heap->growth_seen = hak_shared_pool_growth_count();
  heap->epoch_ms = 0;
}

void CheckNothingIsLeft() {
  const hak_shared_pool_figures pool = hak_shared_pool_read_figures();
  FUZZ_CHECK(pool.live_slabs == 0 && pool.live_spans == 0 && pool.live_bytes == 0);
  FUZZ_CHECK(pool.superslabs == 0);
  const hak_whale_cache_figures whales = hak_whale_cache_read_figures();
  FUZZ_CHECK(whales.live == 0 && whales.live_bytes == 0);
  FUZZ_CHECK(whales.cached == 0 && whales.cached_bytes == 0);
}

}  // namespace

ScriptedThreads::ScriptedThreads(uint64_t cache_limit_bytes) : cache_limit_bytes_(cache_limit_bytes) {
  hak_os_fake_set_clock_ms(clock_ms);
  /* Those of the last script were left with its limit. */
  for (hak_heap* heap = hak_heap_first(); heap != nullptr; heap = heap->next_heap) Renew(heap, cache_limit_bytes);
}

hak_heap* ScriptedThreads::HeapOf(unsigned who) {
  if (heaps_[who] == nullptr) heaps_[who] = hak_heap_acquire(cache_limit_bytes_);
  FUZZ_CHECK(heaps_[who] != nullptr);
  return heaps_[who];
}

void ScriptedThreads::RunLate(const std::function<void()>& act) {
  static LateThread* const late = new LateThread();
  late->Run(act);
}

void ScriptedThreads::Exit(unsigned who) {
  hak_heap* heap = heaps_[who];
  if (heap == nullptr) return;
  Run(who, [heap] { Flush(heap); });
  heaps_[who] = nullptr;
  hak_heap_park(heap);
}

void ScriptedThreads::Fork(unsigned who) {
  hak_heap* mine = HeapOf(who);
  hak_lock_take(hak_heap_parked_lock());
  hak_heap_orphan_others_locked(mine);
  hak_lock_give(hak_heap_parked_lock());
  heaps_.fill(nullptr);
  heaps_[who] = mine;
}

/* Each in the hands of a thread, so that heaps left behind in a fork empty their caches too. */
void ScriptedThreads::FlushParked() {
  const uint32_t count = hak_heap_parked_count();
  std::vector<hak_heap*> heaps;
  for (uint32_t i = 0; i < count; i++) {
    heaps.push_back(hak_heap_acquire(cache_limit_bytes_));
    hak_heap_set_current(heaps.back(), true, true);
    Flush(heaps.back());
    hak_heap_set_current(&hak_heap_empty, true, true);
  }
  for (; !heaps.empty(); heaps.pop_back()) hak_heap_park(heaps.back()); /* the list is as it was */
}

void ScriptedThreads::Settle() {
  /* The second time for what the first has sent from one to another. */
  for (int i = 0; i < 2; i++) {
    for (unsigned who = 0; who < kThreads; who++) {
      hak_heap* heap = heaps_[who];
      if (heap != nullptr) Run(who, [heap] { Flush(heap); });
    }
    FlushParked();
  }
}

void ScriptedThreads::AdvanceClock(uint64_t ms) {
  clock_ms += ms;
  hak_os_fake_set_clock_ms(clock_ms);
}

void ScriptedThreads::Audit() const {
  for (hak_heap* heap = hak_heap_first(); heap != nullptr; heap = heap->next_heap) AuditHeap(heap);
}

void ScriptedThreads::End() {
  for (unsigned who = 0; who < kThreads; who++) Exit(who);
  Settle();
  Run(0, [] { hak_trim(); }); /* merges the common heap's too */
  Settle();
  Run(0, [] { hak_trim(); });
  Exit(0);
  Audit();
  CheckNothingIsLeft();
  AdvanceClock(kMsBetweenScripts);
}

}  // namespace fuzz
