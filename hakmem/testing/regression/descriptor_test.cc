// A descriptor that could not be listed for want of memory was once lost.
#include <errno.h>
#include <gtest/gtest.h>

#include <vector>

#include "hakmem/metadata/metadata.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/shared_pool/shared_pool.h"

namespace {

constexpr size_t kKiB = 1024;
// The first of them need none.
constexpr int kUnlisted = 64;
// A descriptor has room, and the 4 KiB of the list that comes with every 512 of them have not.
constexpr size_t kRoom = 44 * kKiB;
constexpr size_t kListBytes = 4 * kKiB;

TEST(Descriptor, IsNotLostWhenThereIsNoRoomForTheList) {
  bool zeroed;
  std::vector<hak_slab*> whole;
  for (int i = 0; i < kUnlisted; i++) {
    whole.push_back(hak_shared_pool_acquire_span(HAK_SUPERSLAB_UNITS, &zeroed));
    ASSERT_NE(whole.back(), nullptr);
  }
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  while (hak_metadata_alloc(4 * kKiB, 4096) != nullptr) continue;
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  for (size_t left = 1024 * kKiB - kRoom; left != 0;) {
    const size_t bytes = left < 64 * kKiB ? left : 64 * kKiB;
    ASSERT_NE(hak_metadata_alloc(bytes, 4096), nullptr);
    left -= bytes;
  }
  const uint64_t used = hak_metadata_used_bytes();
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  EXPECT_EQ(hak_shared_pool_acquire_span(5, &zeroed), nullptr);
  const uint64_t with_descriptor = hak_metadata_used_bytes();
  EXPECT_GT(with_descriptor, used) << "the descriptor did not fit: this test needs another room";
  EXPECT_EQ(hak_shared_pool_acquire_span(5, &zeroed), nullptr);
  hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
  hak_slab* span = hak_shared_pool_acquire_span(5, &zeroed);
  ASSERT_NE(span, nullptr);
  EXPECT_EQ(hak_metadata_used_bytes(), with_descriptor + kListBytes);
  hak_shared_pool_release_span(span);
  for (hak_slab* superslab : whole) hak_shared_pool_release_span(superslab);
}

}  // namespace
