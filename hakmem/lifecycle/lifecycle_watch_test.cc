/* When the fork handlers are registered, in a program that says when it registers its own. */
#include <thread>

#include "hakmem/lifecycle/lifecycle.h"
#include "hakmem/lifecycle/test_lifecycle.h"

#include "gtest/gtest.h"

extern "C" {
// In place of the weak one, as the preloaded library has it.
bool hak_lifecycle_sees_registrations(void) { return true; }
extern char __libc_single_threaded __attribute__((weak));
}

namespace {

bool HasOneThread() { return &__libc_single_threaded != nullptr && __libc_single_threaded != 0; }

// In a process of its own: the handlers stay.
TEST(LifecycleWatch, ASecondThreadBringsTheHandlers) {
  if (!HasOneThread()) GTEST_SKIP() << "libc does not say, or something has started a thread";
  Free(Alloc(64));
  EXPECT_TRUE(hak_heap_is_real(hak_heap_current)) << "locks have been taken";
  EXPECT_FALSE(hak_lifecycle_forks_are_guarded());
  std::thread([] { Free(Alloc(64)); }).join();
  EXPECT_TRUE(hak_lifecycle_forks_are_guarded());
}

TEST(LifecycleWatch, ARegistrationBringsThemToo) {
  hak_lifecycle_guard_forks();
  EXPECT_TRUE(hak_lifecycle_forks_are_guarded());
  EXPECT_EQ(hak_ptr_load_relaxed(&hak_lock_watch), nullptr);
}

}  // namespace
