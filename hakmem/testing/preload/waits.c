/* Calls that sleep or wait for events, in a process that has just freed much memory: what they return, when, and what they
 * leave behind. As libc has it, on any malloc.  */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"

enum { SOON_MS = 70, LATER_MS = 160, LONG_MS = 60000, BLOCKS = 4000, BLOCK_BYTES = 1500, SLACK_MS = 2 };

static int ends[2]; /* of a pipe that is empty between two cases */
static atomic_int handled;
static pthread_t waiter;

/* What lies free afterwards is small blocks in the thread's caches and slabs of theirs, and larger ones. */
static void free_much(void) {
  static char* held[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) {
    held[i] = malloc(BLOCK_BYTES);
    EXPECT(held[i] != NULL);
    held[i][0] = held[i][BLOCK_BYTES - 1] = (char)i;
  }
  char* large = malloc(3 << 20);
  EXPECT(large != NULL);
  memset(large, 1, 3 << 20);
  free(large);
  for (int i = 0; i < BLOCKS; i++) {
    EXPECT(held[i][0] == (char)i && held[i][BLOCK_BYTES - 1] == (char)i);
    free(held[i]);
  }
}

static int64_t now_ms(void) {
  struct timespec now;
  EXPECT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t begun_ms;

static void begin(void) {
  free_much();
  errno = 4711;
  begun_ms = now_ms();
}

/* The wait that began last took so long; it may take longer on a busy machine, but not for ever. */
static void expect_took(int64_t ms) {
  const int64_t took_ms = now_ms() - begun_ms;
  EXPECT(took_ms >= ms - SLACK_MS && took_ms < LONG_MS / 2);
}

static struct timespec of_ms(int64_t ms) {
  const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  return time;
}

static int64_t ms_of(struct timespec time) { return time.tv_sec * 1000 + time.tv_nsec / 1000000; }

static void on_signal(int number) {
  (void)number;
  atomic_fetch_add(&handled, 1);
}

/* --- what ends a wait --- */

static void* write_soon(void* unused) {
  const struct timespec soon = of_ms(SOON_MS);
  EXPECT(clock_nanosleep(CLOCK_MONOTONIC, 0, &soon, NULL) == 0);
  EXPECT(write(ends[1], "x", 1) == 1);
  return unused;
}

static void* signal_soon(void* unused) {
  const struct timespec soon = of_ms(SOON_MS);
  EXPECT(clock_nanosleep(CLOCK_MONOTONIC, 0, &soon, NULL) == 0);
  EXPECT(pthread_kill(waiter, SIGUSR1) == 0);
  return unused;
}

static pthread_t helper;

static void begin_with(void* (*what)(void*)) {
  waiter = pthread_self();
  begin();
  EXPECT(pthread_create(&helper, NULL, what, NULL) == 0);
}

static void expect_written(void) {
  char byte;
  EXPECT(pthread_join(helper, NULL) == 0);
  EXPECT(read(ends[0], &byte, 1) == 1);
  expect_took(SOON_MS);
}

static void expect_signalled(int result) {
  EXPECT(result == -1 && errno == EINTR);
  EXPECT(pthread_join(helper, NULL) == 0);
  expect_took(SOON_MS);
}

/* --- sleep --- */

static void sleeps(void) {
  const struct timespec time = of_ms(LATER_MS), for_long = of_ms(LONG_MS);
  struct timespec left = {7, 7};
  begin();
  EXPECT(nanosleep(&time, &left) == 0 && left.tv_sec == 7 && left.tv_nsec == 7 && errno == 4711);
  expect_took(LATER_MS);

  begin_with(signal_soon);
  expect_signalled(nanosleep(&for_long, &left));
  EXPECT(ms_of(left) <= LONG_MS - SOON_MS + SLACK_MS && ms_of(left) >= LONG_MS - (now_ms() - begun_ms) - SLACK_MS);

  begin();
  EXPECT(clock_nanosleep(CLOCK_REALTIME, 0, &time, NULL) == 0 && errno == 4711);
  expect_took(LATER_MS);
  begin_with(signal_soon);
  EXPECT(clock_nanosleep(CLOCK_MONOTONIC, 0, &for_long, &left) == EINTR && errno == 4711);
  EXPECT(pthread_join(helper, NULL) == 0);
  EXPECT(ms_of(left) <= LONG_MS - SOON_MS + SLACK_MS && ms_of(left) >= LONG_MS - (now_ms() - begun_ms) - SLACK_MS);

  static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
  for (int i = 0; i < 3; i++) {
    struct timespec until;
    begin();
    EXPECT(clock_gettime(clocks[i], &until) == 0);
    until = of_ms(ms_of(until) + LATER_MS);
    EXPECT(clock_nanosleep(clocks[i], TIMER_ABSTIME, &until, NULL) == 0 && errno == 4711);
    expect_took(LATER_MS);
    EXPECT(clock_nanosleep(clocks[i], TIMER_ABSTIME, &until, NULL) == 0); /* it is over */
  }

  begin();
  EXPECT(usleep(LATER_MS * 1000) == 0);
  expect_took(LATER_MS);
  begin_with(signal_soon);
  expect_signalled(usleep(LONG_MS * 1000));
  begin();
  EXPECT(sleep(1) == 0 && errno == 4711);
  expect_took(1000);
  begin_with(signal_soon);
  const unsigned unslept = sleep(LONG_MS / 1000);
  EXPECT(pthread_join(helper, NULL) == 0);
  EXPECT(unslept < LONG_MS / 1000 && unslept >= LONG_MS / 2000);
}

/* --- poll --- */

static void polls(void) {
  struct pollfd fd = {.fd = ends[0], .events = POLLIN, .revents = 77};
  const struct timespec time = of_ms(LATER_MS);
  begin();
  EXPECT(poll(&fd, 1, LATER_MS) == 0 && fd.revents == 0 && fd.events == POLLIN && errno == 4711);
  expect_took(LATER_MS);
  begin();
  EXPECT(poll(NULL, 0, LATER_MS) == 0);
  expect_took(LATER_MS);
  begin();
  EXPECT(ppoll(&fd, 1, &time, NULL) == 0 && ms_of(time) == LATER_MS);
  expect_took(LATER_MS);

  begin_with(write_soon);
  EXPECT(poll(&fd, 1, -1) == 1 && fd.revents == POLLIN && errno == 4711);
  expect_written();
  begin_with(write_soon);
  EXPECT(poll(&fd, 1, LONG_MS) == 1 && fd.revents == POLLIN);
  expect_written();
  begin_with(write_soon);
  EXPECT(ppoll(&fd, 1, NULL, NULL) == 1 && fd.revents == POLLIN);
  expect_written();
  begin_with(signal_soon);
  expect_signalled(poll(&fd, 1, -1));
  begin_with(signal_soon);
  expect_signalled(ppoll(&fd, 1, NULL, NULL));
}

/* --- select --- */

static void selects(void) {
  fd_set reads, writes;
  struct timeval left = {.tv_sec = 0, .tv_usec = LATER_MS * 1000};
  const struct timespec time = of_ms(LATER_MS);
  FD_ZERO(&reads);
  FD_SET(ends[0], &reads);
  begin();
  EXPECT(select(ends[0] + 1, &reads, NULL, NULL, &left) == 0 && errno == 4711);
  expect_took(LATER_MS);
  EXPECT(left.tv_sec == 0 && left.tv_usec == 0 && !FD_ISSET(ends[0], &reads));

  FD_SET(ends[0], &reads);
  left.tv_sec = LONG_MS / 1000;
  begin_with(write_soon);
  EXPECT(select(ends[0] + 1, &reads, NULL, NULL, &left) == 1 && FD_ISSET(ends[0], &reads));
  const int64_t left_ms = left.tv_sec * 1000 + left.tv_usec / 1000;
  EXPECT(left_ms <= LONG_MS - SOON_MS + SLACK_MS && left_ms >= LONG_MS - (now_ms() - begun_ms) - SLACK_MS);
  expect_written();
  begin_with(write_soon);
  EXPECT(select(ends[0] + 1, &reads, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], &reads));
  expect_written();
  begin_with(signal_soon);
  expect_signalled(select(ends[0] + 1, &reads, NULL, NULL, NULL));
  begin_with(signal_soon);
  expect_signalled(select(0, NULL, NULL, NULL, NULL));

  FD_ZERO(&writes);
  FD_SET(ends[1], &writes);
  EXPECT(pselect(ends[1] + 1, &reads, &writes, NULL, NULL, NULL) == 1);
  EXPECT(FD_ISSET(ends[1], &writes) && !FD_ISSET(ends[0], &reads));
  FD_SET(ends[0], &reads);
  begin();
  EXPECT(pselect(ends[0] + 1, &reads, NULL, NULL, &time, NULL) == 0 && ms_of(time) == LATER_MS);
  expect_took(LATER_MS);
  FD_SET(ends[0], &reads);
  begin_with(write_soon);
  EXPECT(pselect(ends[0] + 1, &reads, NULL, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], &reads));
  expect_written();
}

/* --- epoll --- */

static void epolls(void) {
  const int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = 17};
  EXPECT(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
  event.data.u32 = 0;
  begin();
  EXPECT(epoll_wait(epoll, &event, 1, LATER_MS) == 0 && errno == 4711);
  expect_took(LATER_MS);
  begin_with(write_soon);
  EXPECT(epoll_wait(epoll, &event, 1, -1) == 1 && event.data.u32 == 17);
  expect_written();
  begin_with(write_soon);
  EXPECT(epoll_pwait(epoll, &event, 1, LONG_MS, NULL) == 1 && event.data.u32 == 17);
  expect_written();
  begin_with(signal_soon);
  expect_signalled(epoll_wait(epoll, &event, 1, -1));
  begin_with(signal_soon);
  expect_signalled(epoll_pwait(epoll, &event, 1, -1, NULL));
  EXPECT(close(epoll) == 0);
  EXPECT(epoll_wait(epoll, &event, 1, 1) == -1 && errno == EBADF);
  EXPECT(epoll_wait(epoll, &event, 1, LATER_MS) == -1 && errno == EBADF);
}

/* --- signals --- */

/* A signal that is let through for the time of the wait only, whether it has come before or comes amid it. */
static void masks(void) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  EXPECT(pthread_sigmask(SIG_BLOCK, &blocked, &before) == 0);
  const int epoll = epoll_create1(0);
  struct epoll_event event;
  for (int i = 0; i < 6; i++) {
    const bool is_pending = i % 2 == 0;
    if (is_pending) {
      begin();
      EXPECT(pthread_kill(pthread_self(), SIGUSR1) == 0);
    } else {
      begin_with(signal_soon);
    }
    const int count = atomic_load(&handled);
    int result = -2;
    if (i / 2 == 0) result = ppoll(NULL, 0, NULL, &before);
    if (i / 2 == 1) result = pselect(0, NULL, NULL, NULL, NULL, &before);
    if (i / 2 == 2) result = epoll_pwait(epoll, &event, 1, -1, &before);
    EXPECT(result == -1 && errno == EINTR && atomic_load(&handled) == count + 1);
    if (!is_pending) EXPECT(pthread_join(helper, NULL) == 0);
  }
  EXPECT(close(epoll) == 0);
  EXPECT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

/* One that the program ignores, or leaves as it is where that is to do nothing, ends no wait. */
static void ignored(void) {
  struct sigaction usr1, ignore = {.sa_handler = SIG_IGN};
  EXPECT(sigaction(SIGUSR1, &ignore, &usr1) == 0);
  begin_with(signal_soon);
  EXPECT(poll(NULL, 0, LATER_MS) == 0);
  expect_took(LATER_MS);
  EXPECT(pthread_join(helper, NULL) == 0);
  EXPECT(sigaction(SIGUSR1, &usr1, NULL) == 0);
  const pid_t child = fork();
  if (child == 0) {
    usleep(SOON_MS * 1000);
    _exit(0);
  }
  begin();
  EXPECT(poll(NULL, 0, LATER_MS) == 0); /* SIGCHLD */
  expect_took(LATER_MS);
  EXPECT(waitpid(child, NULL, 0) == child);
}

static atomic_int slept;

static void sleep_in_handler(int number) {
  (void)number;
  const int saved_errno = errno;
  const struct timespec time = of_ms(40);
  EXPECT(nanosleep(&time, NULL) == 0);
  EXPECT(poll(NULL, 0, 40) == 0);
  errno = saved_errno;
  atomic_fetch_add(&slept, 1);
}

static void* interrupt_often(void* unused) {
  for (int i = 0; i < 15; i++) {
    EXPECT(pthread_kill(waiter, SIGUSR2) == 0);
    while (atomic_load(&slept) <= i) usleep(1000);
    usleep(1000 + i * 137);
  }
  return unused;
}

/* Handlers that sleep, amid malloc and free. */
static void handlers(void) {
  enum { HELD = 300 };
  static char* held[HELD];
  waiter = pthread_self();
  EXPECT(pthread_create(&helper, NULL, interrupt_often, NULL) == 0);
  for (unsigned i = 0; atomic_load(&slept) < 15; i++) {
    char** slot = &held[i * 7919 % HELD];
    if (*slot != NULL) EXPECT((*slot)[0] == (char)(i * 7919 % HELD));
    free(*slot);
    *slot = malloc(i % 300 + 1);
    EXPECT(*slot != NULL);
    (*slot)[0] = (char)(i * 7919 % HELD);
  }
  EXPECT(pthread_join(helper, NULL) == 0);
  for (int i = 0; i < HELD; i++) free(held[i]);
}

/* --- threads and processes --- */

static void* wait_for_ever(void* unused) {
  free_much();
  poll(NULL, 0, -1);
  return unused;
}

static void cancellation(void) {
  void* result = NULL;
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
  usleep(SOON_MS * 1000);
  EXPECT(pthread_cancel(thread) == 0);
  EXPECT(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
}

static void child(void) {
  free_much();
  const pid_t pid = fork();
  if (pid == 0) {
    begun_ms = now_ms();
    if (poll(NULL, 0, LATER_MS) != 0 || now_ms() - begun_ms < LATER_MS - SLACK_MS) _exit(1);
    free(malloc(100));
    _exit(0);
  }
  int status;
  EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

/* --- what is wrong with a call --- */

static void errors(void) {
  const struct timespec negative = {.tv_sec = -1, .tv_nsec = 0}, unnormalised = {.tv_sec = 1, .tv_nsec = 1000000000};
  struct timeval before_now = {.tv_sec = -1, .tv_usec = 0};
  free_much();
  EXPECT(nanosleep(&negative, NULL) == -1 && errno == EINVAL);
  EXPECT(nanosleep(&unnormalised, NULL) == -1 && errno == EINVAL);
  EXPECT(clock_nanosleep(CLOCK_MONOTONIC, 0, &unnormalised, NULL) == EINVAL);
  EXPECT(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &negative, NULL) != 0);
  EXPECT(clock_nanosleep(-12345, 0, &unnormalised, NULL) == EINVAL);
  EXPECT(ppoll(NULL, 0, &negative, NULL) == -1 && errno == EINVAL);
  EXPECT(pselect(0, NULL, NULL, NULL, &unnormalised, NULL) == -1 && errno == EINVAL);
  EXPECT(select(0, NULL, NULL, NULL, &before_now) == -1 && errno == EINVAL);
  EXPECT(select(-1, NULL, NULL, NULL, NULL) == -1 && errno == EINVAL);
  struct pollfd closed = {.fd = 999, .events = POLLIN};
  EXPECT(poll(&closed, 1, -1) == 1 && closed.revents == POLLNVAL);
}

int main(void) {
  struct sigaction action = {.sa_handler = on_signal}, sleeper = {.sa_handler = sleep_in_handler};
  EXPECT(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &sleeper, NULL) == 0);
  EXPECT(pipe(ends) == 0);
  sleeps();
  polls();
  selects();
  epolls();
  masks();
  ignored();
  handlers();
  cancellation();
  child();
  errors();
  say("ok");
  return 0;
}
