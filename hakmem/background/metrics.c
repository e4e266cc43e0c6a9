/* Calls of the kernel by number: a name of libc's would be looked up at the start of every process, and may be a point at
 * which a thread is cancelled. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hakmem/background/metrics_inl.h"
#include "hakmem/base/atomics.h"
#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/report/report.h"

static const char socket_prefix[] = "unix:";
enum { SOCKET_PREFIX_LENGTH = sizeof socket_prefix - 1, BUFFER_BYTES = 4096, CLIENT_HAS_MS = 1000 };

bool hak_metrics_is_socket(void) {
  const char* text = hak_config_text(HAK_OPTION_METRICS);
  for (int i = 0; i < SOCKET_PREFIX_LENGTH; i++) {
    if (text[i] != socket_prefix[i]) return false;
  }
  return true;
}

bool hak_metrics_is_of_this_process(void) {
  for (const char* at = hak_config_text(HAK_OPTION_METRICS); *at != 0; at++) {
    if (at[0] == '%' && at[1] == 'p') return true;
  }
  return false;
}

static uint64_t process_id(void) { return (uint64_t)syscall(SYS_getpid); }

/* The path with the process's number for %p. */
static void print_path(hak_print* out) {
  const char* at = hak_config_text(HAK_OPTION_METRICS);
  if (hak_metrics_is_socket()) at += SOCKET_PREFIX_LENGTH;
  (void)hak_print_path(out, at); /* what is too long cannot be opened */
}

static void complain(int error) {
  static hak_atomic_u32 said; /* once a process */
  if (hak_u32_exchange_seq(&said, 1) != 0) return;
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: cannot write metrics to ");
  print_path(&line);
  hak_print_str(&line, ": ");
  switch (error) {
    case ENOENT: hak_print_str(&line, "no such folder"); break;
    case EACCES:
    case EPERM: hak_print_str(&line, "permission denied"); break;
    case ENOTDIR: hak_print_str(&line, "not in a folder"); break;
    case EISDIR: hak_print_str(&line, "it is a folder"); break;
    case EROFS: hak_print_str(&line, "the file system is read-only"); break;
    case ENOSPC: hak_print_str(&line, "the file system is full"); break;
    case ENAMETOOLONG: hak_print_str(&line, "the path is too long"); break;
    default: hak_print_str(&line, "error "), hak_print_u64(&line, (uint64_t)error); break;
  }
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
}

void hak_metrics_close(int file) { syscall(SYS_close, file); }

/* What ppoll returns. A `file` below 0 is none: only time passes. */
static long poll_once(int file, short events, uint64_t ms) {
  struct pollfd wanted = {file, events, 0};
  struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}; /* the kernel writes to it */
  return syscall(SYS_ppoll, &wanted, file >= 0 ? 1 : 0, &left, NULL, 8);
}

/* --- text in large pieces --- */

typedef struct sink {
  int file;
  bool is_socket;
  uint64_t until_ms; /* the client has read all by then, or is left alone */
  int error;
  size_t length;
  char text[BUFFER_BYTES];
} sink;

/* True: the client has read on, or was interrupted while it could. */
static bool wait_for_client(const sink* to) {
  const uint64_t now_ms = hak_os_now_ms();
  if (now_ms >= to->until_ms) return false;
  return poll_once(to->file, POLLOUT, to->until_ms - now_ms) >= 0;
}

static long write_some(const sink* to, size_t done) {
  const char* text = to->text + done;
  const size_t length = to->length - done;
  if (!to->is_socket) return syscall(SYS_write, to->file, text, length);
  return syscall(SYS_sendto, to->file, text, length, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
}

static void empty(sink* to) {
  for (size_t done = 0; done < to->length && to->error == 0;) {
    const long n = write_some(to, done);
    if (n > 0) done += (size_t)n;
    if (n == 0) to->error = EIO;
    if (n >= 0 || errno == EINTR) continue;
    if (errno != EAGAIN || !wait_for_client(to)) to->error = errno;
  }
  to->length = 0;
}

static void add(void* context, const char* text, size_t length) {
  sink* to = (sink*)context;
  if (to->length + length > sizeof to->text) empty(to);
  memcpy(to->text + to->length, text, length); /* pieces are far shorter than the buffer */
  to->length += length;
}

static int write_all(int file, bool is_socket) {
  sink to;
  to.file = file;
  to.is_socket = is_socket;
  to.until_ms = hak_os_now_ms() + CLIENT_HAS_MS;
  to.error = 0;
  to.length = 0;
  hak_report_openmetrics(add, &to);
  empty(&to);
  return to.error;
}

/* --- file --- */

void hak_metrics_write_file(void) {
  hak_print path, beside;
  hak_print_init(&path);
  print_path(&path);
  hak_print_init(&beside);
  hak_print_str(&beside, path.text);
  hak_print_str(&beside, ".");
  hak_print_u64(&beside, process_id());
  hak_print_str(&beside, ".new");
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
  const int file = (int)syscall(SYS_openat, AT_FDCWD, beside.text, flags, 0644);
  if (file < 0) {
    complain(errno);
    return;
  }
  int error = write_all(file, false);
  hak_metrics_close(file);
  if (error == 0 && syscall(SYS_renameat2, AT_FDCWD, beside.text, AT_FDCWD, path.text, 0) != 0) error = errno;
  if (error == 0) return;
  syscall(SYS_unlinkat, AT_FDCWD, beside.text, 0);
  complain(error);
}

/* --- socket --- */

static bool set_address(struct sockaddr_un* address) {
  hak_print path;
  hak_print_init(&path);
  print_path(&path);
  if (path.length + 1 > sizeof address->sun_path) return false;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path.text, path.length);
  return true;
}

/* What a process before left behind is in the way; a file that is no socket stays, and bind says so. */
static void remove_stale(const struct sockaddr_un* address) {
  const int probe = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return;
  const bool is_stale = syscall(SYS_connect, probe, address, sizeof *address) != 0 && errno == ECONNREFUSED;
  hak_metrics_close(probe);
  if (is_stale) syscall(SYS_unlinkat, AT_FDCWD, address->sun_path, 0);
}

int hak_metrics_listen(void) {
  struct sockaddr_un address;
  if (!set_address(&address)) {
    complain(ENAMETOOLONG);
    return -1;
  }
  remove_stale(&address);
  const int listener = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener >= 0 && syscall(SYS_bind, listener, &address, sizeof address) == 0 &&
      syscall(SYS_listen, listener, 8) == 0) {
    return listener;
  }
  complain(errno);
  if (listener >= 0) hak_metrics_close(listener);
  return -1;
}

void hak_metrics_answer(int client) {
  (void)write_all(client, true);
  hak_metrics_close(client);
}

void hak_metrics_wait(int listener, uint64_t ms) {
  if (poll_once(listener, POLLIN, ms) <= 0) return;
  const int client = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
  if (client >= 0) hak_metrics_answer(client);
}

void hak_metrics_remove_socket(void) {
  struct sockaddr_un address;
  if (set_address(&address)) syscall(SYS_unlinkat, AT_FDCWD, address.sun_path, 0);
}
