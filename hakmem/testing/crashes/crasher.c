/* Crashes in the way that its argument names. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

static void write_to(void* ptr) { *(volatile char*)launder(ptr) = 1; }

static void show(const void* ptr) {
  char line[32];
  snprintf(line, sizeof line, "%p", ptr);
  say(line);
}

static void* freed_whale(void) {
  char* whale = malloc(64 * MIB);
  whale[0] = 1;
  free(whale);
  free(malloc(10));
  return whale;
}

static void after_free(void) {
  char* whale = freed_whale();
  show(whale);
  write_to(whale + 12345);
}

static void read_after_free(void) {
  char* whale = freed_whale();
  show(whale);
  _exit(*(volatile char*)launder(whale + 12345));
}

static void* free_and_name(void* ptr) {
  prctl(PR_SET_NAME, "culprit", 0, 0, 0);
  free(ptr);
  return NULL;
}

static void double_free(void) {
  void* others[3];
  for (int i = 0; i < 3; i++) others[i] = malloc(10); /* what comes next does not lie where the block was */
  void* block = malloc(500 * KIB);
  show(block);
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, free_and_name, block) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
  for (int i = 0; i < 3; i++) free(others[i]);
  free(launder(block));
}

static void* write_to_null(void* ptr) {
  prctl(PR_SET_NAME, "victim", 0, 0, 0);
  free(malloc(100));
  write_to(ptr);
  return NULL;
}

static void in_thread(void) {
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, write_to_null, (void*)16) == 0);
  pthread_join(thread, NULL);
}

static int deeper(int n) {
  volatile char page[4096];
  page[0] = (char)n;
  return n == 0 ? 0 : deeper(n + 1) + page[0];
}

static void* overflow(void* unused) {
  (void)unused;
  free(malloc(100));
  return (void*)(intptr_t)deeper(1);
}

static void stack(void) { overflow(NULL); }

static void thread_stack(void) {
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, overflow, NULL) == 0);
  pthread_join(thread, NULL);
}

/* Where HAKMEM's descriptors lie: 1 MiB between two pages that nobody may touch. */
static void* find_descriptors(void) {
  FILE* maps = fopen("/proc/self/maps", "re");
  EXPECT(maps != NULL);
  unsigned long begin, end, guard_end = 0;
  void* found = NULL;
  char rights[8], line[512];
  while (fgets(line, sizeof line, maps) != NULL) {
    EXPECT(sscanf(line, "%lx-%lx %4s", &begin, &end, rights) == 3);
    if (strcmp(rights, "rw-p") == 0 && end - begin == MIB && begin == guard_end) found = (void*)begin;
    guard_end = strcmp(rights, "---p") == 0 ? end : 0;
  }
  fclose(maps);
  return found;
}

static void inside(void) {
  char* heap = find_descriptors();
  EXPECT(heap != NULL && mprotect(heap, MIB, PROT_NONE) == 0);
  show(heap);
  free(malloc(10));
}

/* memcpy of realloc, on a block that cannot be read. */
static void inside_realloc(void) {
  char* block = aligned_alloc(4096, 4096);
  EXPECT(block != NULL && mprotect(block, 4096, PROT_NONE) == 0);
  show(block);
  free(realloc(block, 8192));
}

static sigjmp_buf back;
static volatile int handled;

static void count(int number) {
  (void)number;
  handled++;
  siglongjmp(back, 1);
}

static void leave(int number, siginfo_t* info, void* context) {
  (void)context;
  static const char text[] = "own handler\n";
  EXPECT(number == SIGSEGV && info->si_addr == (void*)16);
  EXPECT(write(STDERR_FILENO, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
  _exit(33);
}

static void own_handler_later(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = leave;
  EXPECT(sigaction(SIGSEGV, &action, NULL) == 0);
  write_to((void*)16);
}

/* The program's handler hands over to the one that it has found. */
static struct sigaction found;
static void hand_over(int number, siginfo_t* info, void* context) {
  static const char text[] = "own handler first\n";
  EXPECT(write(STDERR_FILENO, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
  EXPECT((found.sa_flags & SA_SIGINFO) != 0);
  found.sa_sigaction(number, info, context);
}

static void own_handler_chains(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = hand_over;
  EXPECT(sigaction(SIGSEGV, &action, &found) == 0);
  write_to((void*)16);
}

static void sent(void) { EXPECT(kill(getpid(), SIGSEGV) == 0); }

static void note(int number) {
  (void)number;
  static const char text[] = "own handler\n";
  EXPECT(write(STDERR_FILENO, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
  _exit(34);
}

static void other(int number) { EXPECT(number == 0); }

/* A program sees its own handlers, whoever stands before them. */
static void handlers_are_seen(void) {
  struct sigaction action = {0};
  struct sigaction old;
  EXPECT(signal(SIGSEGV, other) == SIG_DFL);
  EXPECT(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_handler == other && (old.sa_flags & SA_RESTART) != 0);
  action.sa_sigaction = leave;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  EXPECT(sigaction(SIGSEGV, &action, &old) == 0 && old.sa_handler == other);
  EXPECT(signal(SIGSEGV, note) == (void (*)(int))(void*)leave);
  EXPECT(signal(SIGUSR1, other) == SIG_DFL && signal(SIGUSR1, SIG_DFL) == other);
  EXPECT(signal(SIGSEGV, SIG_ERR) == SIG_ERR && signal(1000, note) == SIG_ERR);
  EXPECT(sigaction(1000, NULL, &old) == -1);
  write_to((void*)16);
}

static void raise_anew(int number) {
  static const char text[] = "own handler\n";
  EXPECT(write(STDERR_FILENO, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
  EXPECT(signal(number, SIG_DFL) == raise_anew && raise(number) == 0);
}

static void raises_anew(void) {
  EXPECT(signal(SIGSEGV, raise_anew) == SIG_DFL);
  write_to((void*)16);
}

static void ignores(void) {
  EXPECT(signal(SIGSEGV, SIG_IGN) == SIG_DFL);
  sent();
  say("ok");
  EXPECT(signal(SIGSEGV, SIG_DFL) == SIG_IGN);
  write_to((void*)16);
}

/* A program that lives with faults. */
static void mended(void) {
  struct sigaction action = {.sa_flags = SA_NODEFER};
  action.sa_handler = count;
  EXPECT(sigaction(SIGSEGV, &action, NULL) == 0);
  for (int i = 0; i < 20; i++) {
    if (sigsetjmp(back, 1) == 0) write_to((void*)16);
  }
  EXPECT(handled == 20);
  say("ok");
}

static void own_stack(void) {
  static char memory[64 * KIB];
  const stack_t own = {.ss_sp = memory, .ss_size = sizeof memory};
  EXPECT(sigaltstack(&own, NULL) == 0);
  stack_t now;
  EXPECT(sigaltstack(NULL, &now) == 0 && now.ss_sp == memory);
  overflow(NULL);
}

static void in_child(void) {
  free(malloc(10)); /* else the child's first small slab may lie where the block was */
  void* block = malloc(500 * KIB);
  free(block);
  const pid_t child = fork();
  if (child == 0) {
    free(malloc(10));
    free(launder(block));
    _exit(0);
  }
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child);
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  say("ok");
}

static void two_at_once(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) EXPECT(pthread_create(&threads[i], NULL, write_to_null, (void*)16) == 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

static void bus(void) {
  FILE* file = tmpfile();
  EXPECT(file != NULL);
  write_to(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0));
}

static void waits(void) {
  char* block = malloc(100);
  memset(block, 'x', 100);
  char* whale = freed_whale();
  show(block);
  show(whale);
  pause();
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(void);
  } cases[] = {
      {"after_free", after_free},
      {"read_after_free", read_after_free},
      {"double_free", double_free},
      {"abort", abort},
      {"in_thread", in_thread},
      {"stack", stack},
      {"thread_stack", thread_stack},
      {"inside", inside},
      {"inside_realloc", inside_realloc},
      {"own_handler_later", own_handler_later},
      {"own_handler_chains", own_handler_chains},
      {"handlers_are_seen", handlers_are_seen},
      {"raises_anew", raises_anew},
      {"ignores", ignores},
      {"mended", mended},
      {"own_stack", own_stack},
      {"in_child", in_child},
      {"two_at_once", two_at_once},
      {"bus", bus},
      {"sent", sent},
      {"waits", waits},
  };
  EXPECT(argc == 2);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (strcmp(cases[i].name, argv[1]) == 0) cases[i].run();
  }
  return 0;
}
