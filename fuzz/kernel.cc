#include "fuzz/kernel.h"

#include <errno.h>

#include <set>

#include "hakmem/os/os.h"
#include "hakmem/registry/registry.h"

namespace fuzz {
namespace {

constexpr uint64_t kLeafBytes = sizeof(hak_registry_leaf);
constexpr size_t kUnmappingsMax = 1 << 18;

/* os_fake's observer is a plain function, so what it notes is the process's. */
struct Notes {
  std::vector<Unmapping> unmappings;
  uint64_t refusals_before_last = 0; /* of munmap, when the last entry was made */
  bool is_last_open = false;         /* whether it was refused is not known yet */
  void (*watcher)(hak_os_fake_call, void*, size_t) = nullptr;
  uint64_t forgotten_leaf_bytes = 0; /* hak_registry_leaf_bytes only grows */
};

Notes& TheNotes() {
  static Notes* const notes = new Notes();
  return *notes;
}

void CloseLast() {
  Notes& notes = TheNotes();
  if (!notes.is_last_open) return;
  notes.is_last_open = false;
  notes.unmappings.back().is_refused = hak_os_fake_failures(HAK_OS_FAKE_MUNMAP) != notes.refusals_before_last;
}

void Observe(hak_os_fake_call call, void* base, size_t size_bytes) {
  Notes& notes = TheNotes();
  CloseLast();
  if (call == HAK_OS_FAKE_MUNMAP) {
    FUZZ_CHECK(notes.unmappings.size() < kUnmappingsMax); /* an input is short: this is a loop without an end */
    notes.unmappings.push_back({static_cast<char*>(base), size_bytes, false});
    notes.refusals_before_last = hak_os_fake_failures(HAK_OS_FAKE_MUNMAP);
    notes.is_last_open = true;
  }
  if (notes.watcher != nullptr) notes.watcher(call, base, size_bytes);
}

uint64_t LiveLeafBytes() { return hak_registry_leaf_bytes() - TheNotes().forgotten_leaf_bytes; }

bool ForgetLeaf(uint32_t entry) {
  void* leaf = hak_ptr_load_relaxed(&hak_registry_root[entry]);
  if (leaf == nullptr) return false;
  hak_ptr_store_release(&hak_registry_root[entry], nullptr);
  FUZZ_CHECK(hak_os_unmap(leaf, kLeafBytes));
  TheNotes().forgotten_leaf_bytes += kLeafBytes;
  return true;
}

/* Most often they are where they were the last times: only then is the table not searched. */
void ForgetLeaves() {
  static std::set<uint32_t>* const seen = new std::set<uint32_t>();
  for (const uint32_t entry : *seen) ForgetLeaf(entry);
  for (uint32_t entry = 0; LiveLeafBytes() != 0 && entry < HAK_REGISTRY_ROOT_ENTRIES; entry++) {
    if (ForgetLeaf(entry)) seen->insert(entry);
  }
  FUZZ_CHECK(LiveLeafBytes() == 0);
}

/* Where the kernel puts a SuperSlab, there the next mappings go too. */
char* FirstMapping() {
  static char* const where = [] {
    void* base = hak_os_map_aligned(HAK_SUPERSLAB_BYTES, HAK_SUPERSLAB_BYTES);
    FUZZ_CHECK(base != nullptr && hak_os_unmap(base, HAK_SUPERSLAB_BYTES));
    return static_cast<char*>(base);
  }();
  return where;
}

/* Where the mappings go, so that they need no leaf, or far from them. */
void PlaceWindow(bool is_near) {
  const uint64_t half = uint64_t{HAK_REGISTRY_LEAF_UNITS} / 2 * HAK_UNIT_BYTES;
  const uint64_t near = reinterpret_cast<uintptr_t>(FirstMapping()) - half;
  hak_u64_store_relaxed(&hak_registry_window_at.minus_base, -(is_near ? near : uint64_t{HAK_UNIT_BYTES}));
}

}  // namespace

Kernel::Kernel(Input& input, Leaves leaves) {
  static const size_t kPageBytes[] = {0, 0, 16384, 65536}; /* 0: the machine's */
  const uint8_t choice = input.TakeByte();
  hak_os_fake_reset();
  hak_os_reset_for_test();
  PlaceWindow(choice / 16 % 2 != 0);
  if (leaves == Leaves::kNone || choice / 4 % 4 == 0) {
    ForgetLeaves();
  } else {
    FUZZ_CHECK(hak_registry_prepare(FirstMapping(), HAK_SUPERSLAB_BYTES));
  }
  hak_os_reset_for_test();
  hak_os_fake_set_page_bytes(kPageBytes[choice % 4]);
  TheNotes().unmappings.clear();
  TheNotes().is_last_open = false;
  TheNotes().watcher = nullptr;
  hak_os_fake_set_observer(Observe);
  start_leaf_bytes_ = LiveLeafBytes();
  start_bytes_ = hak_os_fake_mapped_bytes() - start_leaf_bytes_;
  FUZZ_CHECK(hak_os_read_counters().mapped_bytes == hak_os_fake_mapped_bytes());
}

void Kernel::Script(Input& input) {
  static const int kErrors[] = {ENOMEM, EPERM, EINVAL, EAGAIN, ENOSYS};
  const uint8_t what = input.TakeByte();
  const auto call = static_cast<hak_os_fake_call>(what % HAK_OS_FAKE_CALL_COUNT);
  const uint8_t number = input.TakeByte();
  const uint64_t nth = number < 128 ? 1 : 1 + number % 8;
  const int error = kErrors[input.TakeBelow(5)];
  switch (what / HAK_OS_FAKE_CALL_COUNT % 8) {
    case 0:
    case 1:
    case 2: hak_os_fake_fail_nth(call, nth, error); break;
    case 3:
    case 4: hak_os_fake_fail_from(call, nth, error); break;
    case 5: hak_os_fake_fail_every(call, nth, error); break;
    case 6: hak_os_fake_fail_never(call); break;
    default: {
      const uint64_t room = input.TakeBelow(256) * HAK_UNIT_BYTES;
      hak_os_fake_set_limit_bytes(hak_os_fake_mapped_bytes() + room);
    }
  }
}

void Kernel::Obey() {
  for (int call = 0; call < HAK_OS_FAKE_CALL_COUNT; call++) {
    hak_os_fake_fail_never(static_cast<hak_os_fake_call>(call));
  }
  hak_os_fake_set_limit_bytes(0);
}

void Kernel::Watch(void (*watcher)(hak_os_fake_call, void*, size_t)) { TheNotes().watcher = watcher; }

uint64_t Kernel::AllRefusals() {
  uint64_t sum = 0;
  for (int call = 0; call < HAK_OS_FAKE_CALL_COUNT; call++) sum += Refusals(static_cast<hak_os_fake_call>(call));
  return sum;
}

const std::vector<Unmapping>& Kernel::Unmappings() {
  CloseLast();
  return TheNotes().unmappings;
}

uint64_t Kernel::MappedBytes() const { return hak_os_fake_mapped_bytes() - start_bytes_ - LiveLeafBytes(); }

uint64_t Kernel::RefusedBytes() {
  uint64_t sum = 0;
  for (const Unmapping& unmapping : Unmappings()) sum += unmapping.is_refused ? unmapping.bytes : 0;
  return sum;
}

void Kernel::Finish() {
  Obey();
  Watch(nullptr);
  const std::vector<Unmapping> unmappings = Unmappings();
  /* With the machine's pages, on which everything lies. */
  hak_os_fake_set_page_bytes(0);
  hak_os_reset_for_test();
  /* New leaves may lie where a range was refused once, that went later. */
  if (LiveLeafBytes() != start_leaf_bytes_) ForgetLeaves();
  /* The last first: an earlier one may have been unmapped since, and its addresses lost again in a later. */
  for (auto at = unmappings.rbegin(); at != unmappings.rend(); ++at) {
    if (at->is_refused && hak_os_fake_is_mapped(at->base, at->bytes)) FUZZ_CHECK(hak_os_unmap(at->base, at->bytes));
  }
  FUZZ_CHECK(MappedBytes() == 0);
  FUZZ_CHECK(hak_os_read_counters().mapped_bytes == hak_os_fake_mapped_bytes());
}

}  // namespace fuzz
