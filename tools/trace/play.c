#include "tools/trace/play.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TOUCH_STEP_BYTES = 4096, LOOKS_BEFORE_YIELD = 100, STATUS_BYTES = 4096 };

/* What a block is whose malloc returned NULL here: operations on it do nothing. */
static char nothing;

typedef struct player {
  pthread_t thread;
  uint32_t number;
  bool has_started;
  pthread_cond_t may_go; /* its mark is next */
  struct player* next;   /* among those that have ended */
  uint64_t refused;
  uint64_t wrong_bytes;
} player;

/* The recorder's, where one is preloaded. */
typedef struct recorder {
  void (*restart)(void);
  void (*enter)(uint32_t thread);
  void (*leave)(void);
} recorder;

static struct {
  const hak_trace* trace;
  hak_trace_play_options options;
  recorder recorder;
  void** blocks;
  uint64_t* sizes; /* of blocks, where contents are verified */
  player* players;
  pthread_mutex_t lock;
  pthread_cond_t for_starter;
  /* Under the lock: */
  uint64_t turn;
  player* ended;
} play;

/* --- contents --- */

static unsigned char pattern(uint32_t block, size_t at) { return (unsigned char)(block * 31u + (unsigned)at * 7u + 1); }

static void fill(uint32_t block, unsigned char* bytes, size_t from, size_t to) {
  for (size_t i = from; i < to; i++) bytes[i] = pattern(block, i);
}

static bool is_filled(uint32_t block, const unsigned char* bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (bytes[i] != pattern(block, i)) return false;
  }
  return true;
}

static bool is_zero(const unsigned char* bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

static void touch(unsigned char* bytes, size_t size) {
  if (play.options.touch == HAK_TRACE_TOUCH_NONE) return;
  if (play.options.touch == HAK_TRACE_TOUCH_ALL) {
    memset(bytes, 0xa5, size);
    return;
  }
  volatile unsigned char* at = bytes;
  for (size_t i = 0; i < size; i += TOUCH_STEP_BYTES) at[i] = 1;
}

/* --- blocks --- */

static void* wait_for_block(uint32_t block) {
  for (unsigned looks = 1;; looks++) {
    void* pointer = __atomic_load_n(&play.blocks[block], __ATOMIC_ACQUIRE);
    if (pointer != NULL) return pointer;
    if (looks % LOOKS_BEFORE_YIELD == 0) sched_yield();
  }
}

/* The first `kept` bytes are what `from` had. */
static void publish(player* me, uint32_t block, void* pointer, size_t size, uint32_t from, size_t kept) {
  if (pointer == NULL) {
    me->refused++;
    pointer = &nothing;
  } else if (play.options.is_verifying) {
    if (kept > size) kept = size;
    if (kept != 0 && !is_filled(from, pointer, kept)) me->wrong_bytes++;
    fill(block, pointer, 0, size);
    play.sizes[block] = size;
  } else {
    touch(pointer, size);
  }
  __atomic_store_n(&play.blocks[block], pointer, __ATOMIC_RELEASE);
}

static void play_free(player* me, uint32_t block) {
  void* pointer = wait_for_block(block);
  if (pointer == &nothing) return;
  if (play.options.is_verifying && !is_filled(block, pointer, play.sizes[block])) me->wrong_bytes++;
  free(pointer);
}

static void play_realloc(player* me, const hak_trace_op* op, uint32_t made) {
  void* old = wait_for_block(op->block);
  if (old == &nothing) old = NULL;
  const size_t kept = play.options.is_verifying && old != NULL ? play.sizes[op->block] : 0;
  if (kept != 0 && !is_filled(op->block, old, kept)) me->wrong_bytes++;
  void* pointer = realloc(old, op->size);
  if (op->has_failed) {
    /* Still the same block, wherever it is now. */
    if (pointer != NULL) __atomic_store_n(&play.blocks[op->block], pointer, __ATOMIC_RELEASE);
    if (pointer != NULL && kept > op->size) play.sizes[op->block] = op->size;
    return;
  }
  if (op->kind == HAK_TRACE_REALLOC_FREED) {
    if (pointer != NULL) free(pointer);
    return;
  }
  /* realloc(block, 0) frees the block under some allocators. */
  if (pointer == NULL && op->size != 0 && old != NULL) free(old);
  publish(me, made, pointer, op->size, op->block, kept);
}

static void* allocate(const hak_trace_op* op) {
  const size_t alignment = (size_t)1 << op->alignment_log2;
  void* pointer = NULL;
  switch ((hak_trace_kind)op->kind) {
    case HAK_TRACE_MALLOC: return malloc(op->size);
    case HAK_TRACE_CALLOC: return calloc(op->block, op->size);
    case HAK_TRACE_REALLOC_NULL: return realloc(NULL, op->size);
    case HAK_TRACE_ALIGNED_ALLOC: return aligned_alloc(alignment, op->size);
    case HAK_TRACE_POSIX_MEMALIGN: return posix_memalign(&pointer, alignment, op->size) == 0 ? pointer : NULL;
    case HAK_TRACE_MEMALIGN: return memalign(alignment, op->size);
    case HAK_TRACE_VALLOC: return valloc(op->size);
    case HAK_TRACE_PVALLOC: return pvalloc(op->size);
    default: return NULL;
  }
}

static void play_new(player* me, const hak_trace_op* op, uint32_t made) {
  void* pointer = allocate(op);
  if (op->has_failed) {
    free(pointer);
    return;
  }
  const size_t size = op->kind == HAK_TRACE_CALLOC ? op->block * op->size : op->size;
  if (play.options.is_verifying && op->kind == HAK_TRACE_CALLOC && pointer != NULL && !is_zero(pointer, size))
    me->wrong_bytes++;
  publish(me, made, pointer, size, made, 0);
}

/* --- order --- */

/* Whoever has mark `turn` may go on; where it is a thread that is not there yet, it is started. Under the lock. */
static void call_next(void) {
  if (play.turn >= play.trace->marks_count) return;
  player* next = &play.players[play.trace->marks[play.turn].thread];
  pthread_cond_signal(next->has_started ? &next->may_go : &play.for_starter);
}

static void pass_mark(player* me, uint64_t mark) {
  if (play.options.is_loose) return;
  pthread_mutex_lock(&play.lock);
  while (play.turn != mark) pthread_cond_wait(&me->may_go, &play.lock);
  play.turn = mark + 1;
  call_next();
  pthread_mutex_unlock(&play.lock);
}

static void play_thread(player* me) {
  const hak_trace_thread* of = &play.trace->threads[me->number];
  uint64_t made = of->first_block;
  if (play.recorder.enter != NULL) play.recorder.enter(me->number);
  for (uint64_t i = 0; i < of->ops_count; i++) {
    const hak_trace_op* op = &of->ops[i];
    switch ((hak_trace_kind)op->kind) {
      case HAK_TRACE_MARK: pass_mark(me, op->size); break;
      case HAK_TRACE_FREE: play_free(me, op->block); break;
      case HAK_TRACE_FREE_NULL: free(NULL); break;
      case HAK_TRACE_REALLOC:
      case HAK_TRACE_REALLOC_FREED:
        play_realloc(me, op, (uint32_t)made);
        made += hak_trace_makes_block((hak_trace_kind)op->kind, op->has_failed);
        break;
      default:
        play_new(me, op, (uint32_t)made);
        made += !op->has_failed;
        break;
    }
  }
  if (play.recorder.leave != NULL) play.recorder.leave();
}

/* --- threads --- */

static void* run_player(void* argument) {
  player* me = argument;
  play_thread(me);
  pthread_mutex_lock(&play.lock);
  me->next = play.ended;
  play.ended = me;
  pthread_cond_signal(&play.for_starter);
  pthread_mutex_unlock(&play.lock);
  return NULL;
}

/* The other threads may wait for one that is not there. */
static void give_up(void) {
  static const char text[] = "replay: the trace has more threads than can be started here\n";
  if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0) _exit(3);
  _exit(2);
}

static bool waits_for_turn(const hak_trace_thread* of) {
  return !play.options.is_loose && of->ops_count > 0 && of->ops[0].kind == HAK_TRACE_MARK;
}

/* The thread to start now; NULL: none. `unlooked`: from here on threads may not need to wait. Under the lock. */
static player* to_start(uint64_t* unlooked) {
  while (*unlooked < play.trace->threads_count) {
    player* any = &play.players[(*unlooked)++];
    if (!any->has_started && !waits_for_turn(&play.trace->threads[any->number])) return any;
  }
  if (play.turn >= play.trace->marks_count) return NULL;
  player* next = &play.players[play.trace->marks[play.turn].thread];
  return next->has_started ? NULL : next;
}

/* Starts each thread when it is its turn, and waits for its end. */
static void* run_starter(void* unused) {
  (void)unused;
  uint64_t left = play.trace->threads_count - 1;
  uint64_t unlooked = 0;
  pthread_mutex_lock(&play.lock);
  while (left > 0) {
    player* starting = to_start(&unlooked);
    player* ended = play.ended;
    if (starting != NULL) {
      starting->has_started = true;
      /* It waits for the lock where it has a mark. */
      if (pthread_create(&starting->thread, NULL, run_player, starting) != 0) give_up();
    } else if (ended != NULL) {
      play.ended = ended->next;
      pthread_mutex_unlock(&play.lock);
      pthread_join(ended->thread, NULL);
      pthread_mutex_lock(&play.lock);
      left--;
    } else {
      pthread_cond_wait(&play.for_starter, &play.lock);
    }
  }
  pthread_mutex_unlock(&play.lock);
  return NULL;
}

/* --- figures --- */

static uint64_t status_kib(const char* name) {
  char text[STATUS_BYTES];
  const int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t got = read(file, text, sizeof(text) - 1);
  close(file);
  if (got <= 0) return 0;
  text[got] = 0;
  const char* line = strstr(text, name);
  return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 10);
}

/* The peak counts from now on. False: the kernel does not let it. */
static bool forget_peak(void) {
  const int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool is_forgotten = write(file, "5", 1) == 1;
  close(file);
  return is_forgotten;
}

static double clock_s(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

typedef struct reading {
  struct rusage usage;
  double wall_s;
  double cpu_s;
} reading;

static reading take_reading(void) {
  reading now;
  getrusage(RUSAGE_SELF, &now.usage);
  now.wall_s = clock_s(CLOCK_MONOTONIC);
  now.cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
  return now;
}

static void note_used(const reading* before, hak_trace_play_outcome* outcome) {
  const reading now = take_reading();
  outcome->cpu_s = now.cpu_s - before->cpu_s;
  outcome->wall_s = now.wall_s - before->wall_s;
  outcome->page_faults = (uint64_t)(now.usage.ru_minflt - before->usage.ru_minflt);
}

/* --- the whole --- */

static void find_recorder(void) {
  void* found[] = {dlsym(RTLD_DEFAULT, "hak_trace_restart"), dlsym(RTLD_DEFAULT, "hak_trace_enter"),
                   dlsym(RTLD_DEFAULT, "hak_trace_leave")};
  memcpy(&play.recorder.restart, &found[0], sizeof(found[0]));
  memcpy(&play.recorder.enter, &found[1], sizeof(found[1]));
  memcpy(&play.recorder.leave, &found[2], sizeof(found[2]));
}

static bool prepare(hak_trace_error* error) {
  const hak_trace* trace = play.trace;
  play.blocks = hak_trace_pages_take(trace->blocks_count * sizeof(*play.blocks));
  play.sizes = hak_trace_pages_take(play.options.is_verifying ? trace->blocks_count * sizeof(*play.sizes) : 0);
  play.players = hak_trace_pages_take(trace->threads_count * sizeof(*play.players));
  if (play.blocks == NULL || play.sizes == NULL || play.players == NULL) {
    snprintf(error->text, sizeof(error->text), "needs more memory than is to be had");
    return false;
  }
  for (uint64_t i = 0; i < trace->threads_count; i++) {
    play.players[i].number = (uint32_t)i;
    pthread_cond_init(&play.players[i].may_go, NULL);
  }
  play.players[0].has_started = true; /* the caller */
  pthread_mutex_init(&play.lock, NULL);
  pthread_cond_init(&play.for_starter, NULL);
  find_recorder();
  return true;
}

static uint64_t above(uint64_t bytes, uint64_t own_bytes) { return bytes > own_bytes ? bytes - own_bytes : 0; }

static void run_all(hak_trace_play_outcome* outcome) {
  pthread_t starter;
  const bool has_starter = play.trace->threads_count > 1;
  if (play.recorder.restart != NULL) play.recorder.restart();
  if (has_starter && pthread_create(&starter, NULL, run_starter, NULL) != 0) give_up();
  outcome->own_rss_bytes = status_kib(forget_peak() ? "VmRSS:" : "VmHWM:") * 1024;
  const reading before = take_reading();
  pthread_mutex_lock(&play.lock);
  call_next();
  pthread_cond_signal(&play.for_starter);
  pthread_mutex_unlock(&play.lock);
  play_thread(&play.players[0]);
  if (has_starter) pthread_join(starter, NULL);
  note_used(&before, outcome);
  outcome->start_cpu_s = before.cpu_s;
  outcome->peak_rss_bytes = above(status_kib("VmHWM:") * 1024, outcome->own_rss_bytes);
  outcome->end_rss_bytes = above(status_kib("VmRSS:") * 1024, outcome->own_rss_bytes);
}

bool hak_trace_play(const hak_trace* trace, const hak_trace_play_options* options, hak_trace_play_outcome* outcome,
                    hak_trace_error* error) {
  memset(outcome, 0, sizeof(*outcome));
  memset(&play, 0, sizeof(play));
  play.trace = trace;
  play.options = *options;
  outcome->ops = trace->ops_count;
  outcome->threads = trace->threads_count;
  const bool is_prepared = trace->threads_count == 0 || prepare(error);
  if (is_prepared && trace->threads_count > 0) run_all(outcome);
  for (uint64_t i = 0; is_prepared && i < trace->threads_count; i++) {
    outcome->refused += play.players[i].refused;
    outcome->wrong_bytes += play.players[i].wrong_bytes;
  }
  hak_trace_pages_give(play.blocks, trace->blocks_count * sizeof(*play.blocks));
  hak_trace_pages_give(play.sizes, play.options.is_verifying ? trace->blocks_count * sizeof(*play.sizes) : 0);
  hak_trace_pages_give(play.players, trace->threads_count * sizeof(*play.players));
  return is_prepared;
}
