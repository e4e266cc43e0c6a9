#include "tools/trace/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tools/trace/shadow.h"

#define EXPORT __attribute__((visibility("default")))

enum { CHUNK_BYTES_MAX = 64 * 1024, PATH_BYTES = 4096, NAMES_TRIED_MAX = 1000 };
/* Of *hak_trace_generation, beside the numbers of the records: no record yet, none any more. A fork leaves 0. */
static const uint64_t NOT_STARTED = UINT64_MAX;
static const uint64_t STOPPED = UINT64_MAX - 1;

EXPORT void hak_trace_restart(void);
EXPORT void hak_trace_enter(uint32_t thread);
EXPORT void hak_trace_leave(void);

__thread hak_trace_self hak_trace_me;
static volatile uint64_t first_generation = UINT64_MAX;
volatile uint64_t* hak_trace_generation = &first_generation;

static struct {
  char path[PATH_BYTES]; /* of this process's trace */
  hak_trace_file_header* header;
  uint64_t page_bytes;
  uint64_t generations;
  uint64_t started_ns;
  uint64_t next_offset; /* atomic, as the next two */
  uint64_t next_ticket;
  uint32_t next_thread;
  uint32_t is_starting; /* atomic */
  bool is_past_constructor;
  bool is_by_name; /* only threads that have entered are recorded */
  bool has_key;
  pthread_key_t key;
} process;

/* --- system calls: libc's wrappers would be points of cancellation --- */

static int open_file(const char* path, int flags) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0644); }

static void close_file(int file) { syscall(SYS_close, file); }

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t append_text(char* out, size_t used, size_t size, const char* text) {
  while (*text != 0 && used + 1 < size) out[used++] = *text++;
  out[used] = 0;
  return used;
}

static size_t append_number(char* out, size_t used, size_t size, uint64_t number) {
  char digits[24];
  size_t at = sizeof(digits);
  digits[--at] = 0;
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  return append_text(out, used, size, digits + at);
}

/* The record ends here, for all threads. */
static void stop(const char* what, int error) {
  *hak_trace_generation = STOPPED;
  if (process.header != NULL) process.header->stopped_by = (uint32_t)error;
  char line[PATH_BYTES + 256];
  size_t used = append_text(line, 0, sizeof(line), "hakmem trace: cannot ");
  used = append_text(line, used, sizeof(line), what);
  used = append_text(line, used, sizeof(line), " ");
  used = append_text(line, used, sizeof(line), process.path);
  used = append_text(line, used, sizeof(line), " (errno ");
  used = append_number(line, used, sizeof(line), (uint64_t)error);
  used = append_text(line, used, sizeof(line), "): the record ends here\n");
  syscall(SYS_write, STDERR_FILENO, line, used);
}

/* --- chunks --- */

/* Room in the file, so that a full disk is noticed here and not by a signal at some store. */
static int allocate_room(int file, uint64_t offset, uint64_t bytes) {
  long done;
  do {
    done = syscall(SYS_fallocate, file, 0, offset, bytes);
  } while (done != 0 && errno == EINTR);
  if (done == 0) return 0;
  if (errno != EOPNOTSUPP && errno != ENOSYS) return errno;
  /* Longer by its last byte; ftruncate might shorten what another thread has made longer. */
  return syscall(SYS_pwrite64, file, "", (size_t)1, offset + bytes - 1) == 1 ? 0 : errno;
}

static void* map_room(int file, uint64_t offset, uint64_t bytes, int* error) {
  *error = allocate_room(file, offset, bytes);
  if (*error != 0) return NULL;
  void* room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)offset);
  if (room != MAP_FAILED) return room;
  *error = errno;
  return NULL;
}

/* The first chunk of a thread is a page, each of the next twice as long. */
static uint64_t chunk_bytes(const hak_trace_self* me) {
  const uint64_t bytes = me->is_leaving ? process.page_bytes : process.page_bytes << (me->chunks < 8 ? me->chunks : 8);
  const uint64_t most = process.page_bytes > CHUNK_BYTES_MAX ? process.page_bytes : CHUNK_BYTES_MAX;
  return bytes < most ? bytes : most;
}

static void close_chunk(hak_trace_self* me) {
  if (me->chunk == NULL) return;
  hak_trace_chunk_header* header = (hak_trace_chunk_header*)(void*)me->chunk;
  uint8_t* records = me->chunk + sizeof(*header);
  hak_trace_chunk_header closed = *header;
  closed.used_bytes = (uint32_t)(me->at - records);
  closed.records = me->records;
  header->checksum = hak_trace_checksum(&closed, records);
  header->records = closed.records;
  __atomic_store_n(&header->used_bytes, closed.used_bytes, __ATOMIC_RELEASE);
  munmap(me->chunk, header->capacity_bytes);
  me->chunk = me->at = me->limit = NULL;
}

static bool open_chunk(hak_trace_self* me) {
  const uint64_t bytes = chunk_bytes(me);
  const uint64_t offset = __atomic_fetch_add(&process.next_offset, bytes, __ATOMIC_RELAXED);
  const int file = open_file(process.path, O_RDWR | O_CLOEXEC);
  if (file < 0) {
    stop("open", errno);
    return false;
  }
  int error;
  me->chunk = map_room(file, offset, bytes, &error);
  close_file(file);
  if (me->chunk == NULL) {
    stop("write to", error);
    return false;
  }
  hak_trace_chunk_header* header = (hak_trace_chunk_header*)(void*)me->chunk;
  header->thread = me->context.thread;
  header->number = me->chunks++;
  header->capacity_bytes = (uint32_t)bytes;
  header->first_ordinal = me->context.born;
  __atomic_store_n(&header->magic, (uint32_t)HAK_TRACE_CHUNK_MAGIC, __ATOMIC_RELEASE);
  me->at = me->chunk + sizeof(*header);
  me->limit = me->chunk + bytes - 2 * HAK_TRACE_RECORD_BYTES_MAX;
  me->records = 0;
  hak_trace_context_reset(&me->context, me->context.thread, me->context.born);
  /* Libc may allocate for it; that is no operation of the program's. */
  if (process.has_key) pthread_setspecific(process.key, me);
  return true;
}

static void put_mark(hak_trace_self* me) {
  hak_trace_record mark = {.kind = HAK_TRACE_MARK};
  mark.ticket = __atomic_fetch_add(&process.next_ticket, 1, __ATOMIC_ACQ_REL);
  mark.time_us = (now_ns() - process.started_ns) / 1000;
  me->at = hak_trace_put(&me->context, me->at, &mark);
  me->records++;
  me->until_mark = HAK_TRACE_RECORDS_PER_MARK;
}

static bool make_room(hak_trace_self* me, hak_trace_kind kind) {
  /* A signal handler may have forked amid the operation: then it is the child's first, and names no block of its. */
  if (me->generation != *hak_trace_generation) return hak_trace_join(me) && !hak_trace_names_block(kind);
  if (me->at >= me->limit) {
    close_chunk(me);
    if (!open_chunk(me)) return false;
  }
  put_mark(me);
  return true;
}

bool hak_trace_make_room(hak_trace_self* me, hak_trace_kind kind) {
  const int saved = errno;
  const bool has_room = make_room(me, kind);
  errno = saved;
  return has_room;
}

void hak_trace_count_missed(void) {
  if (process.header != NULL) __atomic_fetch_add(&process.header->missed, 1, __ATOMIC_RELAXED);
}

/* --- the file --- */

/* The path given, for the process that was started; with its PID for those that it starts, and for what it becomes by
 * exec; with a further number where that is there too. -1 and errno. */
static int create_file(const char* given, bool is_first) {
  char pid[24];
  append_number(pid, 0, sizeof(pid), (uint64_t)getpid());
  for (uint64_t number = is_first ? 0 : 1; number < NAMES_TRIED_MAX; number++) {
    size_t used = append_text(process.path, 0, sizeof(process.path), given);
    if (number > 0) {
      used = append_text(process.path, used, sizeof(process.path), ".");
      used = append_text(process.path, used, sizeof(process.path), pid);
    }
    if (number > 1) {
      used = append_text(process.path, used, sizeof(process.path), ".");
      append_number(process.path, used, sizeof(process.path), number);
    }
    const int file = open_file(process.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC);
    if (file >= 0 || errno != EEXIST) return file;
  }
  return -1;
}

static void fill_header(hak_trace_file_header* header) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  header->version = HAK_TRACE_VERSION;
  header->page_bytes = (uint32_t)process.page_bytes;
  header->pid = (uint64_t)getpid();
  header->parent_pid = (uint64_t)getppid();
  header->started_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
  /* Its end is 0 already. */
  if (readlink("/proc/self/exe", header->program, sizeof(header->program) - 1) < 0) header->program[0] = '?';
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  memcpy(header->magic, HAK_TRACE_MAGIC, sizeof(header->magic));
}

static bool open_trace(void) {
  const char* given = getenv("HAKTRACE_FILE");
  const char* first = getenv("HAKTRACE_PID");
  if (given == NULL) return false;
  if (process.header != NULL) munmap(process.header, process.page_bytes);
  process.header = NULL;
  const int file = create_file(given, first != NULL && strtoull(first, NULL, 10) == (uint64_t)getpid());
  if (file < 0) {
    stop("create", errno);
    return false;
  }
  int error;
  process.header = map_room(file, 0, process.page_bytes, &error);
  close_file(file);
  if (process.header == NULL) {
    stop("write to", error);
    return false;
  }
  fill_header(process.header);
  return true;
}

/* --- begin, fork --- */

/* Where the kernel does not clear the word in a child. */
static void after_fork(void) { *hak_trace_generation = 0; }

/* A page that every kind of fork clears in the child. */
static void watch_forks(void) {
  if (hak_trace_generation != &first_generation) return;
  void* page = mmap(NULL, process.page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page != MAP_FAILED && madvise(page, process.page_bytes, MADV_WIPEONFORK) == 0) {
    *(volatile uint64_t*)page = NOT_STARTED;
    hak_trace_generation = page;
    return;
  }
  if (page != MAP_FAILED) munmap(page, process.page_bytes);
  pthread_atfork(NULL, NULL, after_fork);
}

static void on_thread_exit(void* state) {
  hak_trace_self* me = state;
  const bool was_inside = me->is_inside;
  me->is_inside = true;
  if (me->generation == *hak_trace_generation && me->chunk != NULL) {
    put_mark(me);
    close_chunk(me);
  }
  me->is_leaving = true;
  me->is_inside = was_inside;
}

static bool start_process(void) {
  uint32_t nobody = 0;
  if (!__atomic_compare_exchange_n(&process.is_starting, &nobody, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return false;
  if (*hak_trace_generation != NOT_STARTED && *hak_trace_generation != 0) {
    __atomic_store_n(&process.is_starting, 0, __ATOMIC_RELEASE);
    return true;
  }
  process.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
  process.next_offset = process.page_bytes;
  process.next_ticket = 0;
  process.next_thread = 0;
  process.started_ns = now_ns();
  process.is_by_name = false;
  watch_forks();
  bool is_open = open_trace();
  if (is_open && !hak_trace_shadow_reset()) {
    stop("have memory to record into", ENOMEM);
    is_open = false;
  }
  if (is_open && !process.has_key) process.has_key = pthread_key_create(&process.key, on_thread_exit) == 0;
  /* Before libc is there the environment is not: the constructor tries again. */
  if (is_open) {
    *hak_trace_generation = ++process.generations;
  } else if (process.is_past_constructor || *hak_trace_generation == 0) {
    *hak_trace_generation = STOPPED;
  }
  __atomic_store_n(&process.is_starting, 0, __ATOMIC_RELEASE);
  return is_open;
}

static bool join_now(hak_trace_self* me) {
  const uint64_t now = *hak_trace_generation;
  if (now == STOPPED) return false;
  if ((now == NOT_STARTED || now == 0) && !start_process()) return false;
  if (process.is_by_name && me->named_thread == 0) return false;
  /* What a fork has left of the parent's. */
  if (me->chunk != NULL) munmap(me->chunk, ((hak_trace_chunk_header*)(void*)me->chunk)->capacity_bytes);
  me->chunk = NULL;
  me->chunks = 0;
  me->is_leaving = false;
  const uint32_t thread =
      process.is_by_name ? me->named_thread - 1 : __atomic_fetch_add(&process.next_thread, 1, __ATOMIC_RELAXED);
  hak_trace_context_reset(&me->context, thread, 0);
  if (!open_chunk(me)) return false;
  put_mark(me);
  me->generation = *hak_trace_generation;
  return true;
}

bool hak_trace_join(hak_trace_self* me) {
  const int saved = errno;
  const bool was_inside = me->is_inside;
  me->is_inside = true;
  const bool has_joined = join_now(me);
  me->is_inside = was_inside;
  errno = saved;
  return has_joined;
}

__attribute__((constructor)) static void at_start(void) {
  process.is_past_constructor = true;
  if (*hak_trace_generation == NOT_STARTED) hak_trace_join(&hak_trace_me);
}

/* What other libraries free after this goes into one more chunk. */
__attribute__((destructor)) static void at_exit(void) {
  on_thread_exit(&hak_trace_me);
  if (process.header != NULL && *hak_trace_generation == process.generations) process.header->has_exited = 1;
}

/* --- for programs that play a trace --- */

void hak_trace_restart(void) {
  hak_trace_self* me = &hak_trace_me;
  me->is_inside = true;
  if (me->generation == *hak_trace_generation) {
    if (me->chunk != NULL) ((hak_trace_chunk_header*)(void*)me->chunk)->magic = HAK_TRACE_VOID_MAGIC;
    process.header->missed = 0;
    process.next_ticket = 0;
    process.is_by_name = true;
    if (hak_trace_shadow_reset()) {
      *hak_trace_generation = ++process.generations;
    } else {
      stop("have memory to record into", ENOMEM);
    }
  }
  me->is_inside = false;
}

void hak_trace_enter(uint32_t thread) {
  hak_trace_me.named_thread = thread + 1;
  hak_trace_me.generation = 0;
}

void hak_trace_leave(void) {
  hak_trace_self* me = &hak_trace_me;
  me->is_inside = true;
  if (me->generation == *hak_trace_generation) close_chunk(me);
  me->generation = 0;
  me->named_thread = 0;
  me->is_inside = false;
}
