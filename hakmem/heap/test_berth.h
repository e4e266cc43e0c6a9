// What the tests of boxes that park blocks in berths have in common: heaps to park for, and the tests of berth.h's
// invariants, which hold whatever is parked.
//
// A test of a box has a fixture Guests with
//   kSize, kLiveWord                   how large a guest is asked for, and what the registry says of it while it is live
//   Acquire(size), Release(guest, now_ms), TryPark(guest, heap), Unpark(heap, size), Purge(now_ms, decay_ms)
// and says INSTANTIATE_TYPED_TEST_SUITE_P(OfGuests, Berth, Guests). Its own tests are those of Berth<Guests>.
#ifndef HAKMEM_HEAP_TEST_BERTH_H_
#define HAKMEM_HEAP_TEST_BERTH_H_

#include <errno.h>

#include <atomic>
#include <thread>
#include <vector>

#include "hakmem/base/poison.h"
#include "hakmem/heap/heap.h"
#include "hakmem/registry/registry.h"

#include "gtest/gtest.h"

// Heaps are told apart by address only.
inline hak_heap* Heap(size_t i) {
  alignas(4096) static char heaps[2 * 4096];
  return reinterpret_cast<hak_heap*>(heaps + i * 4096);
}

template <typename Guests>
class Berth : public Guests {
 protected:
  // A guest whose memory has been released before: it may lie idle.
  template <typename Size>
  static auto* Reused(Size size) {
    auto* guest = Guests::Acquire(size);
    Guests::Release(guest);
    EXPECT_EQ(Guests::Acquire(size), guest);
    return guest;
  }

  // A thread that frees what it has allocated, again and again. Returns how often what it had was not its own.
  static int Swing(size_t thread, uint64_t times) {
    int broken = 0;
    for (uint64_t i = 0; i < times; i++) {
      auto* guest = Guests::Unpark(Heap(thread), Guests::kSize);
      if (guest == nullptr) guest = Guests::Acquire(Guests::kSize);
      hak_unpoison(guest->base, sizeof(uint64_t));
      auto* tag = reinterpret_cast<uint64_t*>(guest->base);
      *tag = thread << 32 | i;
      if (hak_registry_word(guest->base) != Guests::kLiveWord || *tag != (thread << 32 | i)) broken++;
      if (Guests::TryPark(guest, Heap(thread)) == 0) Guests::Release(guest, i);
    }
    return broken;
  }
};
TYPED_TEST_SUITE_P(Berth);

TYPED_TEST_P(Berth, Invariant1OneAThread) {
  auto* first = TestFixture::Reused(TestFixture::kSize);
  auto* second = TestFixture::Reused(TestFixture::kSize);
  ASSERT_NE(TestFixture::TryPark(first, Heap(0)), 0u);
  EXPECT_EQ(TestFixture::TryPark(second, Heap(0)), 0u);
  EXPECT_NE(TestFixture::TryPark(second, Heap(1)), 0u);
  EXPECT_EQ(TestFixture::Unpark(Heap(1), TestFixture::kSize), second);
  TestFixture::Release(second);
}

TYPED_TEST_P(Berth, AThreadWithoutAHeapParksNothing) {
  auto* guest = TestFixture::Reused(TestFixture::kSize);
  EXPECT_EQ(TestFixture::TryPark(guest, hak_heap_current), 0u);
  EXPECT_EQ(TestFixture::Unpark(hak_heap_current, TestFixture::kSize), nullptr);
  TestFixture::Release(guest);
}

TYPED_TEST_P(Berth, Invariant2PurgesAndThreadsNeverShareAGuest) {
  const int saved_errno = errno; /* making threads may change it */
  std::atomic<bool> stop{false};
  std::atomic<int> broken{0};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 2; t++) threads.emplace_back([t, &broken] { broken += TestFixture::Swing(t, 20000); });
  threads.emplace_back([&stop] {
    for (uint64_t i = 0; !stop; i++) TestFixture::Purge(i, i % 8 == 0 ? 0 : 1000);
  });
  threads[0].join();
  threads[1].join();
  stop = true;
  threads[2].join();
  EXPECT_EQ(broken.load(), 0);
  errno = saved_errno;
}

REGISTER_TYPED_TEST_SUITE_P(Berth, Invariant1OneAThread, AThreadWithoutAHeapParksNothing,
                            Invariant2PurgesAndThreadsNeverShareAGuest);

#endif  // HAKMEM_HEAP_TEST_BERTH_H_
