// Each way to ask for memory, from a function of its own and from `other`. Prints the ways by which a block came to lie in
// the 64 KiB of another one's: with a rule for each `keep_` function there are none, without rules all. With an argument: frees
// a block twice.
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>

namespace {

constexpr size_t kBytes = 600;  // and 256 more for what is aligned: a class each
constexpr int kOthers = 40;

void* volatile kept;  // written to after each call, so that none is a jump

uintptr_t Unit(const void* block) { return reinterpret_cast<uintptr_t>(block) >> 16; }

struct alignas(256) Aligned {
  char bytes[kBytes / 256 * 256];
};

struct Plain {
  char bytes[kBytes];
};

}  // namespace

#define KEEP(name, expression)                             \
  extern "C" __attribute__((noinline)) void keep_##name(); \
  void keep_##name() { kept = (expression); }

static void* PosixMemalign() __attribute__((always_inline));
static inline void* PosixMemalign() {
  void* out = nullptr;
  return posix_memalign(&out, 256, kBytes) == 0 ? out : nullptr;
}

// From a site of its own, so that what grows lies in the thread's own slabs before.
__attribute__((noinline)) static void* Small() {
  void* volatile out = malloc(16);
  return out;
}

KEEP(malloc, malloc(kBytes))
KEEP(calloc, calloc(1, kBytes))
KEEP(calloc_large, calloc(1, 3000))
KEEP(realloc, realloc(Small(), kBytes))
KEEP(reallocarray, reallocarray(nullptr, 1, kBytes))
KEEP(new, new Plain)
KEEP(new_array, new char[kBytes])
KEEP(new_nothrow, new (std::nothrow) Plain)
KEEP(new_aligned, new Aligned)
KEEP(new_aligned_nothrow, new (std::nothrow) Aligned)
KEEP(aligned_alloc, aligned_alloc(256, 768))
KEEP(memalign, memalign(256, 768))
KEEP(posix_memalign, PosixMemalign())

namespace {

struct Way {
  const char* name;
  void (*call)();
};

const Way kWays[] = {{"malloc", keep_malloc},
                     {"calloc", keep_calloc},
                     {"calloc_large", keep_calloc_large},
                     {"realloc", keep_realloc},
                     {"reallocarray", keep_reallocarray},
                     {"new", keep_new},
                     {"new_array", keep_new_array},
                     {"new_nothrow", keep_new_nothrow},
                     {"new_aligned", keep_new_aligned},
                     {"new_aligned_nothrow", keep_new_aligned_nothrow},
                     {"aligned_alloc", keep_aligned_alloc},
                     {"memalign", keep_memalign},
                     {"posix_memalign", keep_posix_memalign}};

// In the class of `block` there is one slab with room, this thread's: a block that is not kept apart comes from there.
void Check(const Way& way) {
  way.call();
  void* block = kept;
  void* others[kOthers];
  bool is_beside = false;
  for (void*& one : others) {
    one = malloc(malloc_usable_size(block));
    is_beside = is_beside || Unit(one) == Unit(block);
  }
  if (is_beside) printf("%s ", way.name);
  for (void* one : others) free(one);
  free(block);
}

void* CheckAll(void*) {
  for (const Way& way : kWays) Check(way);
  return nullptr;
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) {
    keep_malloc();
    free(kept);
    free(kept);
    return 4;
  }
  CheckAll(nullptr);
  pthread_t thread;
  if (pthread_create(&thread, nullptr, CheckAll, nullptr) != 0 || pthread_join(thread, nullptr) != 0) return 3;
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    CheckAll(nullptr);
    return 0;
  }
  int status = 1;
  if (waitpid(child, &status, 0) != child) return 3;
  return status;
}
