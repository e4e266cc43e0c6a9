// The os box on kernels with larger pages. A program of its own: a process asks for the page size once in its life, so
// nothing may have asked before.
#include <sys/wait.h>
#include <unistd.h>

#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"

#include "gtest/gtest.h"

namespace {

constexpr size_t kUnit = HAK_UNIT_BYTES;
constexpr size_t kSuperSlab = HAK_SUPERSLAB_BYTES;

bool IsAligned(const void* base, size_t alignment) { return reinterpret_cast<uintptr_t>(base) % alignment == 0; }

// Each size in a child of its own: a process asks for the page size once.
TEST(OsPages, SixteenAndSixtyFourKiB) {
  for (const size_t page : {16384, 65536}) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      hak_os_fake_set_page_bytes(page);
      if (hak_os_page_bytes() != page) _exit(1);
      char* guarded = static_cast<char*>(hak_os_map_guarded(kUnit));
      if (guarded == nullptr || !IsAligned(guarded, page)) _exit(2);
      guarded[0] = guarded[kUnit - 1] = 1;
      for (size_t alignment = page; alignment <= kSuperSlab; alignment *= 2) {
        char* base = static_cast<char*>(hak_os_map_aligned(kSuperSlab, alignment));
        if (base == nullptr || !IsAligned(base, alignment)) _exit(3);
        if (!hak_os_purge(base + kUnit, kUnit) || !hak_os_unmap(base, kSuperSlab)) _exit(4);
      }
      _exit(hak_os_unmap(guarded - page, kUnit + 2 * page) && hak_os_fake_mapped_bytes() == 0 ? 0 : 5);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << page;
  }
}

}  // namespace
