/* Only in libhakmem.so: the calls in which threads sleep or wait for events. A wait that is longer than the decay time is
 * one of libc's for that long, then a rest in which memory goes back (hakmem/idle), and one for what is left. To the
 * program it is one wait: results, remaining times, EINTR and thread cancellation are those of libc's call, or of the next
 * library that has one. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "hakmem/base/base.h"
#include "hakmem/gate/next_inl.h"
#include "hakmem/idle/idle.h"

enum { NS_PER_S = 1000000000, NS_PER_MS = 1000000, US_PER_S = 1000000, NS_PER_US = 1000 };

HAK_EXPORT unsigned sleep(unsigned seconds);
HAK_EXPORT int usleep(useconds_t microseconds);
HAK_EXPORT int nanosleep(const struct timespec* time, struct timespec* left);
HAK_EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec* time, struct timespec* left);
HAK_EXPORT int poll(struct pollfd* fds, nfds_t count, int timeout_ms);
HAK_EXPORT int __poll_chk(struct pollfd* fds, nfds_t count, int timeout_ms, size_t fds_bytes);
HAK_EXPORT int ppoll(struct pollfd* fds, nfds_t count, const struct timespec* timeout, const sigset_t* mask);
HAK_EXPORT int select(int count, fd_set* reads, fd_set* writes, fd_set* excepts, struct timeval* timeout);
HAK_EXPORT int pselect(int count, fd_set* reads, fd_set* writes, fd_set* excepts, const struct timespec* timeout,
                       const sigset_t* mask);
HAK_EXPORT int epoll_wait(int epoll, struct epoll_event* events, int count, int timeout_ms);
HAK_EXPORT int epoll_pwait(int epoll, struct epoll_event* events, int count, int timeout_ms, const sigset_t* mask);

/* --- libc's --- */

typedef int (*nanosleep_function)(const struct timespec* time, struct timespec* left);
typedef int (*clock_nanosleep_function)(clockid_t clock, int flags, const struct timespec* time, struct timespec* left);
typedef int (*poll_function)(struct pollfd* fds, nfds_t count, int timeout_ms);
typedef int (*poll_chk_function)(struct pollfd* fds, nfds_t count, int timeout_ms, size_t fds_bytes);
typedef int (*ppoll_function)(struct pollfd* fds, nfds_t count, const struct timespec* timeout, const sigset_t* mask);
typedef int (*select_function)(int count, fd_set* reads, fd_set* writes, fd_set* excepts, struct timeval* timeout);
typedef int (*pselect_function)(int count, fd_set* reads, fd_set* writes, fd_set* excepts,
                                const struct timespec* timeout, const sigset_t* mask);
typedef int (*epoll_wait_function)(int epoll, struct epoll_event* events, int count, int timeout_ms);
typedef int (*epoll_pwait_function)(int epoll, struct epoll_event* events, int count, int timeout_ms,
                                    const sigset_t* mask);

typedef enum wait_function {
  NANOSLEEP,
  CLOCK_NANOSLEEP,
  POLL,
  POLL_CHK,
  PPOLL,
  SELECT,
  PSELECT,
  EPOLL_WAIT,
  EPOLL_PWAIT,
  WAIT_FUNCTIONS
} wait_function;

static const char names[WAIT_FUNCTIONS][16] = {"nanosleep", "clock_nanosleep", "poll",       "__poll_chk", "ppoll",
                                               "select",    "pselect",         "epoll_wait", "epoll_pwait"};
static hak_atomic_ptr known[WAIT_FUNCTIONS] HAK_START_DATA;

static void* next_of(wait_function function) { return hak_next_of(&known[function], names[function]); }

/* They may be called in signal handlers and after fork, where dlsym is not to be. */
__attribute__((constructor)) static void find_next_early(void) {
  for (int i = 0; i < WAIT_FUNCTIONS; i++) (void)next_of((wait_function)i);
}

/* --- times --- */

static bool is_valid(const struct timespec* time) {
  return time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < NS_PER_S;
}

/* Rounded down, and bounded. */
static uint64_t ms_of(const struct timespec* time) {
  const uint64_t seconds = (uint64_t)time->tv_sec;
  if (seconds > UINT32_MAX) return (uint64_t)UINT32_MAX * 1000;
  return seconds * 1000 + (uint64_t)time->tv_nsec / NS_PER_MS;
}

static struct timespec of_ms(uint64_t ms) {
  const struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * NS_PER_MS)};
  return time;
}

static struct timespec sum(struct timespec a, struct timespec b) {
  struct timespec out = {.tv_sec = a.tv_sec + b.tv_sec, .tv_nsec = a.tv_nsec + b.tv_nsec};
  if (out.tv_nsec >= NS_PER_S) {
    out.tv_nsec -= NS_PER_S;
    out.tv_sec++;
  }
  return out;
}

/* Not below zero. */
static struct timespec difference(struct timespec a, struct timespec b) {
  struct timespec out = {.tv_sec = a.tv_sec - b.tv_sec, .tv_nsec = a.tv_nsec - b.tv_nsec};
  if (out.tv_nsec < 0) {
    out.tv_nsec += NS_PER_S;
    out.tv_sec--;
  }
  if (out.tv_sec < 0) out = of_ms(0);
  return out;
}

static struct timespec now_by(clockid_t clock) {
  struct timespec now = {0};
  (void)clock_gettime(clock, &now);
  return now;
}

/* Rounded up; fits. */
static int ms_for_poll(const struct timespec* timeout) {
  if (timeout == NULL) return -1;
  return (int)(timeout->tv_sec * 1000 + (timeout->tv_nsec + NS_PER_MS - 1) / NS_PER_MS);
}

/* --- a wait in slices --- */

/* Waits once, for `timeout` at most; NULL: for ever. As poll returns: 0 when nothing has happened, else with errno. */
typedef int (*wait_once)(void* call, const struct timespec* timeout);

typedef struct wait_left {
  struct timespec beyond; /* of the time to wait for, what lay beyond the call that came last */
  bool is_last;           /* nothing did: it is the program's own wait, or its end */
} wait_left;

static HAK_NOINLINE int wait_for_long(void* call, wait_once once, const struct timespec* timeout, wait_left* left,
                                      hak_idle_wait idle) {
  struct timespec rest = timeout == NULL ? of_ms(0) : *timeout;
  left->is_last = false;
  while (idle.slice_ms != 0 && (timeout == NULL || ms_of(&rest) > idle.slice_ms)) {
    const struct timespec slice = of_ms(idle.slice_ms);
    left->beyond = difference(rest, slice);
    const int result = once(call, &slice);
    if (result != 0) return result;
    const struct timespec before = now_by(CLOCK_MONOTONIC);
    hak_idle_rest(&idle);
    rest = difference(left->beyond, difference(now_by(CLOCK_MONOTONIC), before));
    if (idle.is_interrupted) {
      left->beyond = rest;
      errno = EINTR;
      return -1;
    }
  }
  left->beyond = of_ms(0);
  left->is_last = true;
  return once(call, timeout == NULL ? NULL : &rest);
}

static int wait_in_slices(void* call, wait_once once, const struct timespec* timeout, wait_left* left) {
  const hak_idle_wait idle = hak_idle_begin(timeout == NULL ? HAK_IDLE_FOR_EVER : ms_of(timeout));
  if (HAK_UNLIKELY(idle.slice_ms != 0)) return wait_for_long(call, once, timeout, left, idle);
  left->beyond = of_ms(0);
  left->is_last = true;
  return once(call, timeout);
}

static hak_idle_wait begin_ms(int timeout_ms) {
  return hak_idle_begin(timeout_ms < 0 ? HAK_IDLE_FOR_EVER : (uint64_t)timeout_ms);
}

static HAK_NOINLINE int wait_for_long_ms(void* call, wait_once once, int timeout_ms, hak_idle_wait idle) {
  wait_left left;
  const struct timespec timeout = of_ms(timeout_ms < 0 ? 0 : (uint64_t)timeout_ms);
  return wait_for_long(call, once, timeout_ms < 0 ? NULL : &timeout, &left, idle);
}

/* --- sleep --- */

typedef struct sleep_call {
  clockid_t clock;
  const struct timespec* until; /* NULL: for a time */
  struct timespec left;         /* of the call that came last, when it was interrupted */
  wait_left beyond;
} sleep_call;

static int nanosleep_once(void* opaque, const struct timespec* timeout) {
  sleep_call* call = (sleep_call*)opaque;
  call->left = of_ms(0);
  return ((nanosleep_function)next_of(NANOSLEEP))(timeout, &call->left);
}

static int clock_nanosleep_once(void* opaque, const struct timespec* timeout) {
  sleep_call* call = (sleep_call*)opaque;
  call->left = of_ms(0);
  const clock_nanosleep_function next = (clock_nanosleep_function)next_of(CLOCK_NANOSLEEP);
  const bool is_absolute = call->until != NULL && call->beyond.is_last;
  errno =
      is_absolute ? next(call->clock, TIMER_ABSTIME, call->until, NULL) : next(call->clock, 0, timeout, &call->left);
  return errno == 0 ? 0 : -1;
}

/* How much of the wait an interruption has left. */
static struct timespec left_of(const sleep_call* call) { return sum(call->left, call->beyond.beyond); }

int nanosleep(const struct timespec* time, struct timespec* left) {
  if (HAK_UNLIKELY(time == NULL || !is_valid(time))) return ((nanosleep_function)next_of(NANOSLEEP))(time, left);
  sleep_call call = {.until = NULL};
  const int result = wait_in_slices(&call, nanosleep_once, time, &call.beyond);
  if (result != 0 && errno == EINTR && left != NULL) *left = left_of(&call);
  return result;
}

static bool goes_on_by_itself(clockid_t clock) {
  return clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME;
}

/* A time of day may be set anew: until such a time libc's call waits. */
int clock_nanosleep(clockid_t clock, int flags, const struct timespec* time, struct timespec* left) {
  const bool is_absolute = flags == TIMER_ABSTIME;
  if (HAK_UNLIKELY(time == NULL || !is_valid(time) || !goes_on_by_itself(clock) || (flags != 0 && !is_absolute) ||
                   (is_absolute && clock == CLOCK_REALTIME))) {
    return ((clock_nanosleep_function)next_of(CLOCK_NANOSLEEP))(clock, flags, time, left);
  }
  const int saved_errno = errno;
  sleep_call call = {.clock = clock, .until = is_absolute ? time : NULL};
  const struct timespec timeout = is_absolute ? difference(*time, now_by(clock)) : *time;
  const int result = wait_in_slices(&call, clock_nanosleep_once, &timeout, &call.beyond);
  const int error = result == 0 ? 0 : errno;
  errno = saved_errno;
  if (error == EINTR && left != NULL && !is_absolute) *left = left_of(&call);
  return error;
}

int usleep(useconds_t microseconds) {
  const struct timespec time = {.tv_sec = microseconds / US_PER_S,
                                .tv_nsec = (long)(microseconds % US_PER_S) * NS_PER_US};
  return nanosleep(&time, NULL);
}

/* As libc's: what is left is rounded down, and errno is as it was but for an interruption. */
unsigned sleep(unsigned seconds) {
  const int saved_errno = errno;
  const struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = 0};
  struct timespec left = of_ms(0);
  if (nanosleep(&time, &left) != 0) return (unsigned)left.tv_sec;
  errno = saved_errno;
  return 0;
}

/* --- poll --- */

typedef struct poll_call {
  struct pollfd* fds;
  nfds_t count;
  size_t fds_bytes;
  const sigset_t* mask;
} poll_call;

static int poll_once(void* opaque, const struct timespec* timeout) {
  const poll_call* call = (const poll_call*)opaque;
  return ((poll_function)next_of(POLL))(call->fds, call->count, ms_for_poll(timeout));
}

int poll(struct pollfd* fds, nfds_t count, int timeout_ms) {
  const hak_idle_wait idle = begin_ms(timeout_ms);
  if (HAK_LIKELY(idle.slice_ms == 0)) return ((poll_function)next_of(POLL))(fds, count, timeout_ms);
  poll_call call = {.fds = fds, .count = count};
  return wait_for_long_ms(&call, poll_once, timeout_ms, idle);
}

static int poll_chk_once(void* opaque, const struct timespec* timeout) {
  const poll_call* call = (const poll_call*)opaque;
  return ((poll_chk_function)next_of(POLL_CHK))(call->fds, call->count, ms_for_poll(timeout), call->fds_bytes);
}

/* poll, where the compiler has added a check of the array's size. */
int __poll_chk(struct pollfd* fds, nfds_t count, int timeout_ms, size_t fds_bytes) {
  const hak_idle_wait idle = begin_ms(timeout_ms);
  poll_call call = {.fds = fds, .count = count, .fds_bytes = fds_bytes};
  if (HAK_UNLIKELY(idle.slice_ms != 0)) return wait_for_long_ms(&call, poll_chk_once, timeout_ms, idle);
  return ((poll_chk_function)next_of(POLL_CHK))(fds, count, timeout_ms, fds_bytes);
}

static int ppoll_once(void* opaque, const struct timespec* timeout) {
  const poll_call* call = (const poll_call*)opaque;
  return ((ppoll_function)next_of(PPOLL))(call->fds, call->count, timeout, call->mask);
}

int ppoll(struct pollfd* fds, nfds_t count, const struct timespec* timeout, const sigset_t* mask) {
  poll_call call = {.fds = fds, .count = count, .mask = mask};
  wait_left left;
  if (HAK_UNLIKELY(timeout != NULL && !is_valid(timeout))) return ppoll_once(&call, timeout);
  return wait_in_slices(&call, ppoll_once, timeout, &left);
}

/* --- select --- */

enum { SETS = 3 };

/* A call that times out clears the sets: the next slice needs them as they were. */
typedef struct select_call {
  int count;
  fd_set* sets[SETS];
  const sigset_t* mask;
  struct timeval left; /* as select leaves it */
  bool has_saved;
  fd_set saved[SETS];
} select_call;

static size_t set_bytes(const select_call* call) { return ((size_t)call->count + 63) / 64 * sizeof(uint64_t); }

static void save_or_restore_sets(select_call* call) {
  for (int i = 0; i < SETS; i++) {
    if (call->sets[i] == NULL) continue;
    if (call->has_saved) {
      memcpy(call->sets[i], &call->saved[i], set_bytes(call));
    } else {
      memcpy(&call->saved[i], call->sets[i], set_bytes(call));
    }
  }
  call->has_saved = true;
}

/* Larger sets than libc's are the program's own affair. */
static bool fits(int count) { return count >= 0 && count <= FD_SETSIZE; }

static int select_once(void* opaque, const struct timespec* timeout) {
  select_call* call = (select_call*)opaque;
  save_or_restore_sets(call);
  const select_function next = (select_function)next_of(SELECT);
  if (timeout == NULL) return next(call->count, call->sets[0], call->sets[1], call->sets[2], NULL);
  call->left.tv_sec = timeout->tv_sec;
  call->left.tv_usec = timeout->tv_nsec / NS_PER_US;
  return next(call->count, call->sets[0], call->sets[1], call->sets[2], &call->left);
}

int select(int count, fd_set* reads, fd_set* writes, fd_set* excepts, struct timeval* timeout) {
  if (HAK_UNLIKELY(!fits(count) || (timeout != NULL && (timeout->tv_sec < 0 || timeout->tv_usec < 0)))) {
    return ((select_function)next_of(SELECT))(count, reads, writes, excepts, timeout);
  }
  select_call call;
  call.count = count;
  call.sets[0] = reads;
  call.sets[1] = writes;
  call.sets[2] = excepts;
  call.has_saved = false;
  call.left.tv_sec = 0;
  call.left.tv_usec = 0;
  wait_left left;
  if (timeout == NULL) return wait_in_slices(&call, select_once, NULL, &left);
  const struct timespec time = {.tv_sec = timeout->tv_sec + timeout->tv_usec / US_PER_S,
                                .tv_nsec = (long)(timeout->tv_usec % US_PER_S) * NS_PER_US};
  const int result = wait_in_slices(&call, select_once, &time, &left);
  /* As Linux's does, whatever the result. */
  const struct timespec unused = {.tv_sec = call.left.tv_sec, .tv_nsec = (long)call.left.tv_usec * NS_PER_US};
  const struct timespec all = sum(unused, left.beyond);
  timeout->tv_sec = all.tv_sec;
  timeout->tv_usec = all.tv_nsec / NS_PER_US;
  return result;
}

static int pselect_once(void* opaque, const struct timespec* timeout) {
  select_call* call = (select_call*)opaque;
  save_or_restore_sets(call);
  const pselect_function next = (pselect_function)next_of(PSELECT);
  return next(call->count, call->sets[0], call->sets[1], call->sets[2], timeout, call->mask);
}

int pselect(int count, fd_set* reads, fd_set* writes, fd_set* excepts, const struct timespec* timeout,
            const sigset_t* mask) {
  if (HAK_UNLIKELY(!fits(count) || (timeout != NULL && !is_valid(timeout)))) {
    return ((pselect_function)next_of(PSELECT))(count, reads, writes, excepts, timeout, mask);
  }
  select_call call;
  call.count = count;
  call.sets[0] = reads;
  call.sets[1] = writes;
  call.sets[2] = excepts;
  call.mask = mask;
  call.has_saved = false;
  wait_left left;
  return wait_in_slices(&call, pselect_once, timeout, &left);
}

/* --- epoll --- */

typedef struct epoll_call {
  int epoll, count;
  struct epoll_event* events;
  const sigset_t* mask;
} epoll_call;

static int epoll_wait_once(void* opaque, const struct timespec* timeout) {
  const epoll_call* call = (const epoll_call*)opaque;
  const epoll_wait_function next = (epoll_wait_function)next_of(EPOLL_WAIT);
  return next(call->epoll, call->events, call->count, ms_for_poll(timeout));
}

int epoll_wait(int epoll, struct epoll_event* events, int count, int timeout_ms) {
  const hak_idle_wait idle = begin_ms(timeout_ms);
  if (HAK_LIKELY(idle.slice_ms == 0)) {
    return ((epoll_wait_function)next_of(EPOLL_WAIT))(epoll, events, count, timeout_ms);
  }
  epoll_call call = {.epoll = epoll, .count = count, .events = events};
  return wait_for_long_ms(&call, epoll_wait_once, timeout_ms, idle);
}

static int epoll_pwait_once(void* opaque, const struct timespec* timeout) {
  const epoll_call* call = (const epoll_call*)opaque;
  const epoll_pwait_function next = (epoll_pwait_function)next_of(EPOLL_PWAIT);
  return next(call->epoll, call->events, call->count, ms_for_poll(timeout), call->mask);
}

int epoll_pwait(int epoll, struct epoll_event* events, int count, int timeout_ms, const sigset_t* mask) {
  const hak_idle_wait idle = begin_ms(timeout_ms);
  if (HAK_LIKELY(idle.slice_ms == 0)) {
    return ((epoll_pwait_function)next_of(EPOLL_PWAIT))(epoll, events, count, timeout_ms, mask);
  }
  epoll_call call = {.epoll = epoll, .count = count, .events = events, .mask = mask};
  return wait_for_long_ms(&call, epoll_pwait_once, timeout_ms, idle);
}
