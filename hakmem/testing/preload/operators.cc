// operator new and delete in all forms, and what happens when there is no memory.
#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>

#include "hakmem/testing/harness/expect.h"

namespace {

constexpr std::size_t kMiB = 1 << 20;
constexpr std::align_val_t kPage{4096};

struct alignas(256) Wide {
  char bytes[300];
};

// Out of the optimiser's sight, which may otherwise drop a pair of new and delete.
template <typename T>
T* Hide(T* ptr) {
  return static_cast<T*>(launder(ptr));
}

bool IsAligned(const void* ptr, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(ptr) % alignment == 0;
}

void AllForms() {
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{5000}, 3 * kMiB}) {
    ::operator delete(Hide(::operator new(size)));
    ::operator delete(Hide(::operator new(size)), size);
    ::operator delete[](Hide(::operator new[](size)));
    ::operator delete[](Hide(::operator new[](size)), size);
    ::operator delete(Hide(::operator new(size, std::nothrow)), std::nothrow);
    ::operator delete[](Hide(::operator new[](size, std::nothrow)), std::nothrow);
    void* aligned[4] = {::operator new(size, kPage), ::operator new[](size, kPage),
                        ::operator new(size, kPage, std::nothrow), ::operator new[](size, kPage, std::nothrow)};
    for (void* block : aligned) EXPECT(block != nullptr && IsAligned(block, 4096));
    ::operator delete(Hide(aligned[0]), kPage);
    ::operator delete[](Hide(aligned[1]), size, kPage);
    ::operator delete(Hide(aligned[2]), kPage, std::nothrow);
    ::operator delete[](Hide(aligned[3]), kPage, std::nothrow);
    ::operator delete(Hide(::operator new(size, kPage)), size, kPage);
    ::operator delete[](Hide(::operator new[](size, kPage)), kPage);
  }
  ::operator delete(nullptr);
  ::operator delete[](nullptr, kPage);
  Wide* wide = Hide(new Wide[3]);
  EXPECT(IsAligned(wide, 256));
  delete[] wide;
}

template <typename Allocate>
bool ThrowsBadAlloc(Allocate allocate) {
  try {
    launder(allocate());
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

volatile std::size_t too_big = static_cast<std::size_t>(PTRDIFF_MAX) + 1;

void NoHandler() {
  std::set_new_handler(nullptr);
  EXPECT(ThrowsBadAlloc([] { return ::operator new(too_big); }));
  EXPECT(ThrowsBadAlloc([] { return ::operator new[](too_big); }));
  EXPECT(ThrowsBadAlloc([] { return ::operator new(too_big, kPage); }));
  EXPECT(ThrowsBadAlloc([] { return ::operator new[](too_big, kPage); }));
  EXPECT(::operator new(too_big, std::nothrow) == nullptr);
  EXPECT(::operator new[](too_big, std::nothrow) == nullptr);
  EXPECT(::operator new(too_big, kPage, std::nothrow) == nullptr);
  EXPECT(::operator new[](too_big, kPage, std::nothrow) == nullptr);
}

int calls;

void GiveUpAtTheThirdCall() {
  if (++calls == 3) std::set_new_handler(nullptr);
}

void HandlerIsCalledUntilItGivesUp() {
  for (int form = 0; form < 2; form++) {
    calls = 0;
    std::set_new_handler(GiveUpAtTheThirdCall);
    EXPECT(form == 0 ? ThrowsBadAlloc([] { return ::operator new(too_big); })
                     : ::operator new(too_big, std::nothrow) == nullptr);
    EXPECT(calls == 3);
  }
}

struct NotABadAlloc {};

void ThrowSomethingElse() { throw NotABadAlloc(); }
void ThrowBadAlloc() { throw std::bad_alloc(); }

void HandlerThrows() {
  std::set_new_handler(ThrowSomethingElse);
  bool caught = false;
  try {
    launder(::operator new(too_big));
  } catch (const NotABadAlloc&) {
    caught = true;
  }
  EXPECT(caught);
  std::set_new_handler(ThrowBadAlloc);
  EXPECT(ThrowsBadAlloc([] { return ::operator new[](too_big); }));
  EXPECT(ThrowsBadAlloc([] { return ::operator new(too_big, kPage); }));
}

// C++ [new.delete.single]: a nothrow form returns null where the other would have thrown.
void HandlerThrowsUnderNothrow() {
  std::set_new_handler(ThrowBadAlloc);
  EXPECT(::operator new(too_big, std::nothrow) == nullptr);
  EXPECT(::operator new[](too_big, std::nothrow) == nullptr);
  EXPECT(::operator new(too_big, kPage, std::nothrow) == nullptr);
  EXPECT(::operator new[](too_big, kPage, std::nothrow) == nullptr);
}

void* ballast;

void DropBallast() {
  EXPECT(ballast != nullptr);
  std::free(ballast);
  ballast = nullptr;
}

std::size_t AddressSpaceInUse() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  EXPECT(file != nullptr);
  unsigned long pages = 0;
  EXPECT(std::fscanf(file, "%lu", &pages) == 1);
  std::fclose(file);
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

void HandlerMakesRoom() {
  const rlimit limit = {AddressSpaceInUse() + 300 * kMiB, RLIM_INFINITY};
  EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
  rlimit kept;
  EXPECT(getrlimit(RLIMIT_AS, &kept) == 0);
  if (kept.rlim_cur != limit.rlim_cur) return;  // qemu-user takes such limits and drops them
  std::set_new_handler(DropBallast);
  ballast = std::malloc(200 * kMiB);
  EXPECT(ballast != nullptr);
  char* block = static_cast<char*>(Hide(::operator new(150 * kMiB)));
  EXPECT(block != nullptr && ballast == nullptr);
  block[0] = block[150 * kMiB - 1] = 1;
  ::operator delete(block);
  const rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
  EXPECT(setrlimit(RLIMIT_AS, &none) == 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "nothrow") == 0) {
    HandlerThrowsUnderNothrow();
  } else {
    AllForms();
    NoHandler();
    HandlerIsCalledUntilItGivesUp();
    HandlerThrows();
    HandlerMakesRoom();
  }
  say("ok");
  return 0;
}
