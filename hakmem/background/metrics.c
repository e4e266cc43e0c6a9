/* Calls of the kernel by number: a name of libc's would be looked up at the start of every process, and may be a point at
 * which a thread is cancelled. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hakmem/background/metrics_inl.h"
#include "hakmem/base/atomics.h"
#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/report/report.h"

static const char socket_prefix[] = "unix:";
enum { SOCKET_PREFIX_LENGTH = sizeof socket_prefix - 1, BUFFER_BYTES = 4096, CLIENT_WAITS_S = 1 };

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

/* --- text in large pieces --- */

typedef struct sink {
  int file;
  bool is_socket;
  int error;
  size_t length;
  char text[BUFFER_BYTES];
} sink;

static void empty(sink* to) {
  for (size_t done = 0; done < to->length && to->error == 0;) {
    const long n = to->is_socket
                       ? syscall(SYS_sendto, to->file, to->text + done, to->length - done, MSG_NOSIGNAL, NULL, 0)
                       : syscall(SYS_write, to->file, to->text + done, to->length - done);
    if (n > 0) done += (size_t)n;
    if (n < 0 && errno != EINTR) to->error = errno;
    if (n == 0) to->error = EIO;
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

/* A client that does not read is left alone after a while. */
static void answer(int listener) {
  const int client = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
  if (client < 0) return;
  const struct timeval most = {CLIENT_WAITS_S, 0};
  syscall(SYS_setsockopt, client, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
  (void)write_all(client, true);
  hak_metrics_close(client);
}

void hak_metrics_wait(int listener, uint64_t ms) {
  struct pollfd wanted = {listener, POLLIN, 0};
  const struct timespec most = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
  struct timespec left = most; /* the kernel writes what is left */
  if (syscall(SYS_ppoll, &wanted, listener >= 0 ? 1 : 0, &left, NULL, 8) > 0) answer(listener);
}

void hak_metrics_remove_socket(void) {
  struct sockaddr_un address;
  if (set_address(&address)) syscall(SYS_unlinkat, AT_FDCWD, address.sun_path, 0);
}
