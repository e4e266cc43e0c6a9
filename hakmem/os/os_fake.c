#include "hakmem/os/os_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hakmem/base/checks.h"
#include "hakmem/os/os_sys.h"

enum { KERNEL_ALIGN_BYTES = 64 * 1024 };

/* Calls number `first`, first + step, first + 2 * step ... fail; step 0: only `first`. first 0: none. */
typedef struct script {
  uint64_t first, step;
  int error;
} script;

typedef struct range {
  uintptr_t begin, end;
} range;

typedef void (*observer_function)(hak_os_fake_call, void*, size_t);

/* Sync: lock, all of it. */
static struct {
  pthread_mutex_t lock;
  script scripts[HAK_OS_FAKE_CALL_COUNT];
  uint64_t calls[HAK_OS_FAKE_CALL_COUNT];
  uint64_t failures[HAK_OS_FAKE_CALL_COUNT];
  bool clock_is_stopped;
  uint64_t clock_ms;
  size_t page_bytes; /* 0: the kernel's */
  uint64_t limit_bytes;
  uintptr_t spread_next; /* 0: where the kernel likes */
  size_t spread_step_bytes;
  range hollow;            /* promised and not there */
  size_t hollow_min_bytes; /* 0: no more of it */
  observer_function observer;
  struct {
    const char* path;
    const char* text;
  } files[HAK_OS_FAKE_FILES_MAX];
  size_t file_count;
  uint64_t file_reads;
  /* Sorted, apart from each other. */
  range ranges[HAK_OS_FAKE_RANGES_MAX];
  size_t range_count;
  uint64_t mapped_bytes;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void take_lock(void) { pthread_mutex_lock(&fake.lock); }

static void give_lock(void) { pthread_mutex_unlock(&fake.lock); }

/* Before everybody else's handlers: the lock is the innermost of all. */
__attribute__((constructor(101))) static void survive_fork(void) { pthread_atfork(take_lock, give_lock, give_lock); }

static size_t page_bytes_locked(void) { return fake.page_bytes != 0 ? fake.page_bytes : (size_t)sysconf(_SC_PAGESIZE); }

/* --- the record --- */

/* Index of the first range that ends above `address`. */
static size_t first_above(uintptr_t address) {
  size_t low = 0;
  size_t high = fake.range_count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (fake.ranges[middle].end > address) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

static bool is_recorded(uintptr_t begin, uintptr_t end) {
  const size_t i = first_above(begin);
  return i < fake.range_count && fake.ranges[i].begin <= begin && end <= fake.ranges[i].end;
}

static void insert_range(size_t at, range value) {
  HAK_CHECK(fake.range_count < HAK_OS_FAKE_RANGES_MAX, NULL);
  memmove(&fake.ranges[at + 1], &fake.ranges[at], (fake.range_count - at) * sizeof(range));
  fake.ranges[at] = value;
  fake.range_count++;
}

static void delete_range(size_t at) {
  fake.range_count--;
  memmove(&fake.ranges[at], &fake.ranges[at + 1], (fake.range_count - at) * sizeof(range));
}

static void record(uintptr_t begin, uintptr_t end) {
  const size_t i = first_above(begin);
  HAK_CHECK(i == fake.range_count || fake.ranges[i].begin >= end, (void*)begin); /* the kernel gave it out twice */
  fake.mapped_bytes += end - begin;
  const bool joins_next = i < fake.range_count && fake.ranges[i].begin == end;
  const bool joins_last = i > 0 && fake.ranges[i - 1].end == begin;
  if (joins_next && joins_last) {
    fake.ranges[i - 1].end = fake.ranges[i].end;
    delete_range(i);
  } else if (joins_next) {
    fake.ranges[i].begin = begin;
  } else if (joins_last) {
    fake.ranges[i - 1].end = end;
  } else {
    insert_range(i, (range){begin, end});
  }
}

/* The bytes are on record. */
static void forget(uintptr_t begin, uintptr_t end) {
  const size_t i = first_above(begin);
  const range whole = fake.ranges[i];
  fake.mapped_bytes -= end - begin;
  delete_range(i);
  if (end < whole.end) insert_range(i, (range){end, whole.end});
  if (whole.begin < begin) insert_range(i, (range){whole.begin, begin});
}

/* --- scripts --- */

static bool is_due(hak_os_fake_call call) {
  const script* s = &fake.scripts[call];
  const uint64_t now = fake.calls[call];
  if (s->first == 0 || now < s->first) return false;
  return s->step == 0 ? now == s->first : (now - s->first) % s->step == 0;
}

static bool refuse_locked(hak_os_fake_call call, int error) {
  fake.failures[call]++;
  errno = error;
  return false;
}

/* Every call begins here. True: it may go on to the kernel, and the lock is held. */
static bool begin_call(hak_os_fake_call call, void* base, size_t size_bytes, bool is_ours) {
  take_lock();
  const observer_function observer = fake.observer;
  give_lock();
  if (observer != NULL) observer(call, base, size_bytes);
  take_lock();
  fake.calls[call]++;
  const uintptr_t begin = (uintptr_t)base;
  const size_t page = page_bytes_locked();
  /* A base between two pages is refused whoever owns what follows it. */
  const bool is_on_page = begin % page == 0;
  if (is_ours && is_on_page && !is_recorded(begin, begin + hak_round_up(size_bytes, page))) {
    hak_die(hak_os_fake_call_name(call), base);
  }
  bool go = true;
  if (is_due(call)) {
    go = refuse_locked(call, fake.scripts[call].error);
  } else if (is_ours && !is_on_page) {
    go = refuse_locked(call, EINVAL);
  }
  if (!go) give_lock();
  return go;
}

static void set_script(hak_os_fake_call call, uint64_t nth, uint64_t step, int error) {
  take_lock();
  fake.scripts[call].first = nth == 0 ? 0 : fake.calls[call] + nth;
  fake.scripts[call].step = step;
  fake.scripts[call].error = error;
  give_lock();
}

void hak_os_fake_fail_nth(hak_os_fake_call call, uint64_t nth, int error) { set_script(call, nth, 0, error); }

void hak_os_fake_fail_from(hak_os_fake_call call, uint64_t nth, int error) { set_script(call, nth, 1, error); }

void hak_os_fake_fail_every(hak_os_fake_call call, uint64_t kth, int error) { set_script(call, kth, kth, error); }

void hak_os_fake_fail_never(hak_os_fake_call call) { set_script(call, 0, 0, 0); }

void hak_os_fake_reset(void) {
  take_lock();
  memset(fake.scripts, 0, sizeof fake.scripts);
  memset(fake.calls, 0, sizeof fake.calls);
  memset(fake.failures, 0, sizeof fake.failures);
  fake.clock_is_stopped = false;
  fake.page_bytes = 0;
  fake.limit_bytes = 0;
  fake.spread_next = 0;
  fake.hollow_min_bytes = 0;
  fake.observer = NULL;
  fake.file_count = 0;
  fake.file_reads = 0;
  give_lock();
}

static uint64_t read_locked(const uint64_t* value) {
  take_lock();
  const uint64_t out = *value;
  give_lock();
  return out;
}

uint64_t hak_os_fake_calls(hak_os_fake_call call) { return read_locked(&fake.calls[call]); }

uint64_t hak_os_fake_failures(hak_os_fake_call call) { return read_locked(&fake.failures[call]); }

const char* hak_os_fake_call_name(hak_os_fake_call call) {
  static const char* const names[HAK_OS_FAKE_CALL_COUNT] = {"mmap", "munmap", "mprotect", "madvise", "mremap"};
  return names[call];
}

void hak_os_fake_set_clock_ms(uint64_t now_ms) {
  take_lock();
  fake.clock_is_stopped = true;
  fake.clock_ms = now_ms;
  give_lock();
}

void hak_os_fake_advance_clock_ms(uint64_t ms) {
  take_lock();
  HAK_CHECK(fake.clock_is_stopped, NULL);
  fake.clock_ms += ms;
  give_lock();
}

void hak_os_fake_set_page_bytes(size_t page_bytes) {
  HAK_CHECK(page_bytes == 0 || (hak_is_power_of_two(page_bytes) && page_bytes <= KERNEL_ALIGN_BYTES), NULL);
  take_lock();
  fake.page_bytes = page_bytes;
  give_lock();
}

void hak_os_fake_set_limit_bytes(uint64_t limit_bytes) {
  take_lock();
  fake.limit_bytes = limit_bytes;
  give_lock();
}

void hak_os_fake_spread(uintptr_t base, size_t step_bytes) {
  HAK_CHECK((base | step_bytes) % HAK_SUPERSLAB_BYTES == 0, NULL);
  take_lock();
  fake.spread_next = base;
  fake.spread_step_bytes = step_bytes;
  give_lock();
}

void hak_os_fake_answer_with(uintptr_t base, size_t min_bytes) {
  take_lock();
  if (base != 0) {
    const size_t i = first_above(fake.hollow.begin);
    HAK_CHECK(i == fake.range_count || fake.ranges[i].begin >= fake.hollow.end, (void*)fake.hollow.begin);
    fake.hollow = (range){base, base};
  }
  fake.hollow_min_bytes = base == 0 ? 0 : min_bytes;
  give_lock();
}

void hak_os_fake_set_file(const char* path, const char* text) {
  take_lock();
  size_t i = 0;
  while (i < fake.file_count && strcmp(fake.files[i].path, path) != 0) i++;
  HAK_CHECK(i < HAK_OS_FAKE_FILES_MAX, NULL);
  if (i == fake.file_count) fake.file_count++;
  fake.files[i].path = path;
  fake.files[i].text = text;
  give_lock();
}

uint64_t hak_os_fake_file_reads(void) { return read_locked(&fake.file_reads); }

uint64_t hak_os_fake_mapped_bytes(void) { return read_locked(&fake.mapped_bytes); }

uint64_t hak_os_fake_mapped_ranges(void) {
  take_lock();
  const uint64_t out = fake.range_count;
  give_lock();
  return out;
}

bool hak_os_fake_is_mapped(const void* base, size_t size_bytes) {
  take_lock();
  const bool out = is_recorded((uintptr_t)base, (uintptr_t)base + size_bytes);
  give_lock();
  return out;
}

void hak_os_fake_set_observer(observer_function observer) {
  take_lock();
  fake.observer = observer;
  give_lock();
}

/* --- the seam --- */

static bool fits_limit_locked(uint64_t more_bytes) {
  return fake.limit_bytes == 0 ||
         (more_bytes <= fake.limit_bytes && fake.mapped_bytes <= fake.limit_bytes - more_bytes);
}

/* mmap as a kernel with pages of `page` bytes would do it. */
static void* map_on_page(void* hint, size_t bytes, int protection, int flags, size_t page) {
  const int all_flags = flags | MAP_PRIVATE | MAP_ANONYMOUS;
  void* at = (void*)((uintptr_t)hint & ~(page - 1));
  char* base = (char*)mmap(at, bytes, protection, all_flags, -1, 0);
  if (base == MAP_FAILED || ((uintptr_t)base & (page - 1)) == 0) return base;
  munmap(base, bytes);
  char* raw = (char*)mmap(NULL, bytes + page, protection, all_flags, -1, 0);
  if (raw == MAP_FAILED) return raw;
  base = (char*)hak_round_up((uintptr_t)raw, page);
  if (base != raw) munmap(raw, (size_t)(base - raw));
  if (base != raw + page) munmap(base + bytes, (size_t)(raw + page - base));
  return base;
}

enum { SPREAD_TRIES = 4096 };

/* At the next place of the spread that is free. */
static void* map_spread_locked(size_t bytes, int protection, int flags) {
  for (int i = 0; i < SPREAD_TRIES; i++) {
    void* at = (void*)fake.spread_next; /* NOLINT(performance-no-int-to-ptr) */
    fake.spread_next += fake.spread_step_bytes;
    void* base = mmap(at, bytes, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == at) return base;
    if (base != MAP_FAILED) munmap(base, bytes); /* qemu and old kernels know no such flag */
  }
  errno = ENOMEM;
  return MAP_FAILED;
}

static void* promise_locked(size_t bytes) {
  void* base = (void*)fake.hollow.end; /* NOLINT(performance-no-int-to-ptr) */
  HAK_CHECK(!__builtin_add_overflow(fake.hollow.end, bytes, &fake.hollow.end), base);
  return base;
}

static bool is_hollow_locked(const void* base) {
  return (uintptr_t)base >= fake.hollow.begin && (uintptr_t)base < fake.hollow.end;
}

static void* map_locked(void* hint, size_t bytes, int protection, int flags, size_t page) {
  if (fake.hollow_min_bytes != 0 && bytes >= fake.hollow_min_bytes) return promise_locked(bytes);
  if (fake.spread_next != 0) return map_spread_locked(bytes, protection, flags);
  return map_on_page(hint, bytes, protection, flags, page);
}

void* hak_os_sys_mmap(void* hint, size_t bytes, int protection, int flags) {
  if (!begin_call(HAK_OS_FAKE_MMAP, hint, bytes, false)) return MAP_FAILED;
  const size_t page = page_bytes_locked();
  void* base = MAP_FAILED;
  if (bytes == 0) {
    refuse_locked(HAK_OS_FAKE_MMAP, EINVAL);
  } else if (bytes > SIZE_MAX - page || !fits_limit_locked(hak_round_up(bytes, page))) {
    refuse_locked(HAK_OS_FAKE_MMAP, ENOMEM);
  } else {
    bytes = hak_round_up(bytes, page);
    base = map_locked(hint, bytes, protection, flags, page);
    if (base != MAP_FAILED) record((uintptr_t)base, (uintptr_t)base + bytes);
  }
  give_lock();
  return base;
}

int hak_os_sys_munmap(void* base, size_t bytes) {
  if (!begin_call(HAK_OS_FAKE_MUNMAP, base, bytes, true)) return -1;
  const size_t wide = hak_round_up(bytes, page_bytes_locked());
  const int result = is_hollow_locked(base) ? 0 : munmap(base, wide);
  if (result == 0) forget((uintptr_t)base, (uintptr_t)base + wide);
  give_lock();
  return result;
}

int hak_os_sys_mprotect(void* base, size_t bytes, int protection) {
  if (!begin_call(HAK_OS_FAKE_MPROTECT, base, bytes, true)) return -1;
  const int result = is_hollow_locked(base) ? 0 : mprotect(base, bytes, protection);
  give_lock();
  return result;
}

int hak_os_sys_madvise(void* base, size_t bytes, int advice) {
  if (!begin_call(HAK_OS_FAKE_MADVISE, base, bytes, true)) return -1;
  const int result = is_hollow_locked(base) ? 0 : madvise(base, bytes, advice);
  give_lock();
  return result;
}

/* Takes over the record of a mremap that has been done. */
static void record_move(uintptr_t base, size_t old_bytes, uintptr_t moved, size_t new_bytes) {
  forget(base, base + old_bytes);
  /* A fixed target replaces what was there. */
  if (moved != base && is_recorded(moved, moved + new_bytes)) forget(moved, moved + new_bytes);
  record(moved, moved + new_bytes);
}

/* Invariant 2, the exception. */
static void lose_target(void* target, size_t size_bytes) {
  const int reason = errno;
  if (reason == EPERM || reason == ENOSYS || reason == EINVAL) return;
  take_lock();
  if (is_recorded((uintptr_t)target, (uintptr_t)target + size_bytes) && munmap(target, size_bytes) == 0) {
    forget((uintptr_t)target, (uintptr_t)target + size_bytes);
  }
  give_lock();
  errno = reason;
}

void* hak_os_sys_mremap(void* base, size_t old_bytes, size_t new_bytes, int flags, void* target) {
  if (!begin_call(HAK_OS_FAKE_MREMAP, base, old_bytes, true)) {
    if ((flags & MREMAP_FIXED) != 0) lose_target(target, new_bytes);
    return MAP_FAILED;
  }
  const size_t page = page_bytes_locked();
  void* moved = MAP_FAILED;
  const bool is_fixed = (flags & MREMAP_FIXED) != 0;
  if (((uintptr_t)target & (page - 1)) != 0 || new_bytes > SIZE_MAX - page) {
    refuse_locked(HAK_OS_FAKE_MREMAP, EINVAL);
  } else if (is_fixed && !is_recorded((uintptr_t)target, (uintptr_t)target + new_bytes)) {
    hak_die("mremap onto memory of somebody else's", target);
  } else if (is_hollow_locked(base) || is_hollow_locked(target) ||
             (!is_fixed && new_bytes > old_bytes && !fits_limit_locked(new_bytes - old_bytes))) {
    refuse_locked(HAK_OS_FAKE_MREMAP, ENOMEM);
  } else {
    old_bytes = hak_round_up(old_bytes, page);
    new_bytes = hak_round_up(new_bytes, page);
    moved = mremap(base, old_bytes, new_bytes, flags, target);
    if (moved != MAP_FAILED) record_move((uintptr_t)base, old_bytes, (uintptr_t)moved, new_bytes);
  }
  give_lock();
  return moved;
}

static bool begins_with(const char* text, const char* begin) { return strncmp(text, begin, strlen(begin)) == 0; }

static long read_from_kernel(const char* path, char* text, size_t bytes) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  size_t done = 0;
  for (ssize_t got = 1; got > 0 && done < bytes;) {
    got = read(file, text + done, bytes - done);
    if (got > 0) done += (size_t)got;
  }
  close(file);
  return (long)done;
}

long hak_os_sys_read_file(const char* path, char* text, size_t bytes) {
  long size = -1;
  if (!begins_with(path, "/proc/self/cgroup") && !begins_with(path, "/sys/fs/cgroup")) {
    return read_from_kernel(path, text, bytes);
  }
  take_lock();
  fake.file_reads++;
  for (size_t i = 0; i < fake.file_count; i++) {
    if (fake.files[i].text == NULL || strcmp(fake.files[i].path, path) != 0) continue;
    const size_t length = strlen(fake.files[i].text);
    size = (long)(length < bytes ? length : bytes);
    memcpy(text, fake.files[i].text, (size_t)size);
  }
  give_lock();
  if (size < 0) errno = ENOENT;
  return size;
}

uint64_t hak_os_sys_clock_ms(void) {
  take_lock();
  const bool is_stopped = fake.clock_is_stopped;
  const uint64_t stopped_ms = fake.clock_ms;
  give_lock();
  if (is_stopped) return stopped_ms;
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t hak_os_sys_clock_ns(void) {
  take_lock();
  const bool is_stopped = fake.clock_is_stopped;
  const uint64_t stopped_ms = fake.clock_ms;
  give_lock();
  if (is_stopped) return stopped_ms * 1000000;
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

size_t hak_os_sys_page_bytes(void) {
  take_lock();
  const size_t out = page_bytes_locked();
  give_lock();
  return out;
}

void hak_os_sys_futex_wait(const uint32_t* word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

void hak_os_sys_futex_wake_one(const uint32_t* word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }
