// Memory that was once kept for good though nobody used it.
#include <gtest/gtest.h>
#include <pthread.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "hakmem/heap/heap.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"
#include <hakmem/hakmem.h>

namespace {

uint64_t TakenBlocks(size_t size_bytes) {
  uint64_t slabs[HAK_SIZE_CLASS_COUNT] = {};
  uint64_t taken[HAK_SIZE_CLASS_COUNT] = {};
  hak_shared_pool_count_classes(slabs, taken);
  return taken[hak_size_class_of(size_bytes)];
}

class GiveBack : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    hak_os_fake_set_clock_ms(1000000);
  }
  void TearDown() override { hak_os_fake_reset(); }
};

// The owner of the class goes on with other sizes only: no miss of its own merges what the other thread has freed.
TEST_F(GiveBack, RemoteFreesOfAClassThatIsNoLongerAllocated) {
  constexpr size_t kCount = 5000;
  std::vector<void*> blocks;
  for (size_t i = 0; i < kCount; i++) blocks.push_back(hak_malloc(100));
  ASSERT_GE(TakenBlocks(100), kCount);
  std::thread([&] {
    for (void* block : blocks) hak_free(block);
  }).join();
  EXPECT_GE(TakenBlocks(100), kCount); /* posted, not merged */
  hak_os_fake_advance_clock_ms(2000);
  std::vector<void*> others;
  for (int i = 0; i < 200; i++) others.push_back(hak_malloc(20000));
  EXPECT_LT(TakenBlocks(100), 100u);
  for (void* block : others) hak_free(block);
}

// A free of another heap's block waits in the out-box when this heap adopts the slab, and then concerns itself.
TEST_F(GiveBack, AFreeThatWaitsWhenItsSlabIsAdopted) {
  constexpr size_t kBytes = 900;
  const uint64_t before = TakenBlocks(kBytes);
  void* theirs = nullptr;
  std::thread([&] { theirs = hak_malloc(kBytes); }).join();
  hak_free(theirs);
  void* ours = hak_malloc(kBytes);
  ASSERT_EQ(hak_registry_owner(ours), hak_registry_owner(theirs));
  hak_free(ours);
  hak_trim();
  EXPECT_EQ(TakenBlocks(kBytes), before);
}

// Stands for a thread that read the slab's owner, and pushed the slab to that mailbox when another had adopted it.
void PublishLate(void* block, hak_mailbox* former) {
  hak_slab* slab = static_cast<hak_slab*>(hak_registry_owner(block));
  const uint32_t index = hak_slab_index(slab, block);
  hak_u64_fetch_or_seq(&slab->remote_bits[index / 64], 1ull << (index % 64));
  hak_u32_exchange_seq(&slab->pending, 1);
  slab->pending_next = static_cast<hak_slab*>(hak_ptr_exchange_seq(&former->head, slab));
}

TEST_F(GiveBack, ASlabInTheMailboxOfItsFormerOwner) {
  constexpr size_t kBytes = 700;
  const uint32_t size_class = hak_size_class_of(kBytes);
  const uint64_t before = TakenBlocks(kBytes);
  void* theirs = nullptr;
  std::thread([&] { theirs = hak_malloc(kBytes); }).join();
  hak_heap* former = hak_heap_first_parked_locked();
  ASSERT_NE(former, nullptr);
  void* ours = hak_malloc(kBytes);  // adopts the slab, and `theirs` with it
  ASSERT_EQ(hak_registry_owner(ours), hak_registry_owner(theirs));
  PublishLate(theirs, hak_heap_mailbox(former, size_class));
  hak_free(ours);
  hak_trim();
  EXPECT_EQ(TakenBlocks(kBytes), before);
}

void TickLater() {
  hak_os_fake_advance_clock_ms(10000);
  hak_free(hak_malloc(300 * 1024));
}

constexpr size_t kLateBytes = 600;
std::vector<void*> late_blocks;

void AllocateLate(void*) {
  for (int i = 0; i < 500; i++) late_blocks.push_back(hak_malloc(kLateBytes));
}

// What a thread allocates past its exit is the common heap's. Threads that are well free it; nobody is late again.
TEST_F(GiveBack, RemoteFreesOfTheCommonHeapsBlocks) {
  hak_free(hak_malloc(1)); /* HAKMEM's key comes first, so that the destructor below runs behind its own */
  const uint64_t before = TakenBlocks(kLateBytes);
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, AllocateLate), 0);
  std::thread([key] {
    hak_free(hak_malloc(1));
    pthread_setspecific(key, &late_blocks);
  }).join();
  pthread_key_delete(key);
  ASSERT_GE(TakenBlocks(kLateBytes), before + 500);
  std::thread([] {
    for (void* block : late_blocks) hak_free(block);
  }).join();
  EXPECT_GE(TakenBlocks(kLateBytes), before + 500); /* posted, not merged */
  TickLater();                                      /* may be the first of the process, which only starts the clock */
  TickLater();
  EXPECT_EQ(TakenBlocks(kLateBytes), before);
}

// A refusal is not for ever: locked pages may be unlocked.
TEST_F(GiveBack, UnitsWhosePurgeWasRefused) {
  void* keeps_superslab = hak_malloc(300 * 1024);
  void* span = hak_malloc(600 * 1024);
  hak_trim();
  hak_free(span);
  hak_os_fake_fail_from(HAK_OS_FAKE_MADVISE, 1, EINVAL);
  EXPECT_EQ(hak_trim(), 0u);
  EXPECT_GT(hak_os_fake_failures(HAK_OS_FAKE_MADVISE), 0u);
  hak_os_fake_fail_never(HAK_OS_FAKE_MADVISE);
  EXPECT_GE(hak_trim(), 600u * 1024);
  hak_free(keeps_superslab);
}

}  // namespace
