/* What the tests of the recorder record: recorded WHAT. Each ends with "ok" on stdout. */
#include <malloc.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

namespace {

/* Not to be optimised away. */
template <typename T>
T* Keep(T* pointer) {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}

void Check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::_Exit(1);
}

/* Sizes that nothing else asks for mark the blocks of the tests. */
enum : size_t { kSize = 77001 };

void Functions() {
  volatile size_t half_of_all = SIZE_MAX / 2; /* the compiler warns of a constant */
  void* block = Keep(std::malloc(kSize));
  Check(malloc_usable_size(block) >= kSize, "usable size");
  block = Keep(std::realloc(block, kSize + 1));
  block = Keep(reallocarray(block, 2, kSize));
  std::free(block);
  std::free(Keep(std::calloc(3, kSize + 2)));
  block = Keep(std::realloc(nullptr, kSize + 3));
  block = Keep(std::realloc(block, 0));
  std::free(block);
  std::free(Keep(aligned_alloc(64, kSize + 4)));
  Check(posix_memalign(&block, 128, kSize + 5) == 0, "posix_memalign");
  Check(reinterpret_cast<uintptr_t>(block) % 128 == 0, "alignment");
  std::free(Keep(block));
  std::free(Keep(memalign(256, kSize + 6)));
  std::free(Keep(valloc(kSize + 7)));
  std::free(Keep(pvalloc(kSize + 8)));
  std::free(Keep(static_cast<void*>(nullptr)));
  Check(Keep(std::malloc(PTRDIFF_MAX)) == nullptr, "malloc of too much");
  Check(Keep(reallocarray(nullptr, half_of_all, 4)) == nullptr, "reallocarray of too much");
}

struct alignas(64) Wide {
  char bytes[kSize - kSize % 64];
};

void Operators() {
  operator delete(Keep(operator new(kSize)));
  operator delete[](Keep(operator new[](kSize + 1)));
  operator delete(Keep(operator new(kSize + 2, std::nothrow)), std::nothrow);
  operator delete[](Keep(operator new[](kSize + 3, std::nothrow)), std::nothrow);
  operator delete(Keep(operator new(kSize + 4)), kSize + 4);
  operator delete[](Keep(operator new[](kSize + 5)), kSize + 5);
  delete Keep(new Wide);
  delete[] Keep(new Wide[2]);
  operator delete (Keep(operator new (kSize + 6, std::align_val_t{64}, std::nothrow)), std::align_val_t{64},
                   std::nothrow);
  operator delete[](Keep(operator new[](kSize + 7, std::align_val_t{64}, std::nothrow)), kSize + 7,
                    std::align_val_t{64});
  bool is_thrown = false;
  try {
    Keep(operator new(PTRDIFF_MAX));
  } catch (const std::bad_alloc&) {
    is_thrown = true;
  }
  Check(is_thrown, "bad_alloc");
  Check(Keep(operator new(PTRDIFF_MAX, std::nothrow)) == nullptr, "nothrow");
  static int calls;
  std::set_new_handler([] {
    if (++calls == 2) throw std::bad_alloc();
  });
  Check(Keep(operator new(PTRDIFF_MAX, std::nothrow)) == nullptr, "nothrow, and a handler that throws");
  Check(calls == 2, "the handler is called");
  std::set_new_handler(nullptr);
}

void* FreeIt(void* block) {
  std::free(block);
  return std::malloc(kSize + 1);
}

/* Blocks that go from thread to thread. */
void Threads() {
  for (int i = 0; i < 20; i++) {
    pthread_t thread;
    void* back;
    Check(pthread_create(&thread, nullptr, FreeIt, Keep(std::malloc(kSize))) == 0, "pthread_create");
    Check(pthread_join(thread, &back) == 0, "pthread_join");
    std::free(back);
  }
}

/* Many records, in several chunks. */
void Many() {
  for (int i = 0; i < 200000; i++) std::free(Keep(std::malloc(static_cast<size_t>(i) % 20000)));
}

/* Blocks that HAKMEM does not keep the first time. */
void Whales() {
  for (int i = 0; i < 2; i++) {
    void* block = Keep(std::malloc(size_t{24} << 20));
    std::free(Keep(block));
  }
}

void EndChild(void* block) {
  std::free(block);
  std::free(Keep(std::malloc(kSize + 1)));
  std::exit(0);
}

/* How: fork, _Fork or the bare system call, which runs no handlers. */
void Fork(const char* how) {
  void* block = Keep(std::malloc(kSize));
  const pid_t child = std::strcmp(how, "raw") == 0 ? static_cast<pid_t>(syscall(SYS_fork)) : fork();
  if (child == 0) EndChild(block);
  int status = 0;
  Check(waitpid(child, &status, 0) == child && status == 0, "the child ends well");
  std::free(block);
}

/* A handler that allocates and forks amid operations: for an allocator that can bear it. */
volatile sig_atomic_t signals;
std::atomic<bool> is_disturbed{true};
void OnSignal(int) {
  const int saved = errno;
  std::free(Keep(std::malloc(10)));
  if (++signals % 50 == 0) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, nullptr, 0);
  }
  errno = saved;
}

void* Disturb(void* thread) {
  for (int i = 0; i < 400; i++) {
    pthread_kill(*static_cast<pthread_t*>(thread), SIGUSR1);
    usleep(200);
  }
  is_disturbed = false;
  return nullptr;
}

void Signals() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  pthread_t self = pthread_self();
  pthread_t disturber;
  pthread_create(&disturber, nullptr, Disturb, &self);
  while (is_disturbed) {
    for (int i = 0; i < 100; i++) std::free(Keep(std::malloc(static_cast<size_t>(i))));
  }
  pthread_join(disturber, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const char* how = argc > 2 ? argv[2] : "";
  if (what == "functions") Functions();
  if (what == "operators") Operators();
  if (what == "threads") Threads();
  if (what == "many") Many();
  if (what == "whales") Whales();
  if (what == "fork") Fork(how);
  if (what == "signals") Signals();
  if (what == "exec") {
    std::free(Keep(std::malloc(kSize)));
    execl(argv[0], argv[0], "functions", static_cast<char*>(nullptr));
  }
  if (what == "end") {
    std::free(Keep(std::malloc(kSize)));
    if (std::strcmp(how, "_exit") == 0) _exit(0);
    if (std::strcmp(how, "kill") == 0) raise(SIGKILL);
    std::exit(0);
  }
  std::puts("ok");
  return 0;
}
