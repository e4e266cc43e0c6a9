#include "stress/support/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096, REMOVE_TRIES = 100, REMOVE_PAUSE_NS = 10000000 };

/* --- small files --- */

/* "" where it cannot be read. */
static void read_text(const char* path, char text[TEXT_BYTES]) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t length = fd < 0 ? 0 : read(fd, text, TEXT_BYTES - 1);
  if (fd >= 0) close(fd);
  text[length > 0 ? length : 0] = '\0';
}

static bool write_text(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  const int saved_errno = errno;
  close(fd);
  errno = saved_errno;
  return is_written;
}

static void file_of(const stress_cgroup* group, const char* name, char path[TEXT_BYTES]) {
  snprintf(path, TEXT_BYTES, "%s/%s", group->path, name);
}

static bool write_file(const stress_cgroup* group, const char* name, uint64_t value) {
  char path[TEXT_BYTES];
  char text[32];
  file_of(group, name, path);
  snprintf(text, sizeof text, "%" PRIu64, value);
  return write_text(path, text);
}

/* The number after `key` in a file of lines "key number", or that of a file with only a number (key ""). */
static uint64_t read_file(const stress_cgroup* group, const char* name, const char* key) {
  char path[TEXT_BYTES];
  char text[TEXT_BYTES];
  file_of(group, name, path);
  read_text(path, text);
  for (const char* line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (strncmp(line, key, strlen(key)) == 0) return strtoull(line + strlen(key), NULL, 10);
  }
  return 0;
}

/* --- where it may be --- */

/* Where the cgroup file system of this kind is mounted: "memory" is version 1's, "" is version 2. */
static bool find_mount(bool is_v1, char* mount, size_t mount_bytes) {
  char line[TEXT_BYTES];
  FILE* file = fopen("/proc/self/mounts", "re");
  bool is_found = false;
  while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
    char point[256];
    char type[32];
    char words[512];
    if (sscanf(line, "%*s %255s %31s %511s", point, type, words) != 3) continue;
    is_found = is_v1 ? strcmp(type, "cgroup") == 0 && strstr(words, "memory") != NULL : strcmp(type, "cgroup2") == 0;
    if (is_found) snprintf(mount, mount_bytes, "%s", point);
  }
  if (file != NULL) fclose(file);
  return is_found;
}

/* This process's own cgroup in the hierarchy, "/" at the root. */
static bool find_own(bool is_v1, char* own, size_t own_bytes) {
  char line[TEXT_BYTES];
  FILE* file = fopen("/proc/self/cgroup", "re");
  bool is_found = false;
  while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    const char* path = strrchr(line, ':');
    is_found = path != NULL && (is_v1 ? strstr(line, ":memory") != NULL : strncmp(line, "0::", 3) == 0);
    if (is_found) snprintf(own, own_bytes, "%s", path + 1);
  }
  if (file != NULL) fclose(file);
  return is_found;
}

__attribute__((format(printf, 2, 3))) static bool refuse(stress_cgroup* group, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(group->reason, sizeof group->reason, format, arguments);
  va_end(arguments);
  return false;
}

static bool make_below(stress_cgroup* group, const char* parent, uint64_t limit_bytes) {
  snprintf(group->path, sizeof group->path, "%.400s/hakmem-stress-%d", parent, (int)getpid());
  if (mkdir(group->path, 0755) != 0) return refuse(group, "cannot make %.120s: %s", group->path, strerror(errno));
  const char* name = group->is_v1 ? "memory.limit_in_bytes" : "memory.max";
  if (!write_file(group, name, limit_bytes)) {
    refuse(group, "cannot set %s: %s", name, strerror(errno));
    rmdir(group->path);
    return false;
  }
  /* Swap would hide what is too much. Where there is none, the file may be missing, too. */
  write_file(group, group->is_v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max", group->is_v1 ? limit_bytes : 0);
  return true;
}

static bool make_of_version(stress_cgroup* group, bool is_v1, uint64_t limit_bytes) {
  char mount[256];
  char own[256];
  char parent[520];
  group->is_v1 = is_v1;
  if (!find_mount(is_v1, mount, sizeof mount) || !find_own(is_v1, own, sizeof own)) {
    return refuse(group, "no memory cgroups are mounted");
  }
  /* A container may see its own cgroup as the root of the mount, or the whole tree. */
  snprintf(parent, sizeof parent, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own);
  if (access(parent, F_OK) != 0) snprintf(parent, sizeof parent, "%s", mount);
  return make_below(group, parent, limit_bytes);
}

/* --- the life of one --- */

bool stress_cgroup_make(stress_cgroup* group, uint64_t limit_bytes) {
  memset(group, 0, sizeof *group);
  return make_of_version(group, false, limit_bytes) || make_of_version(group, true, limit_bytes);
}

bool stress_cgroup_enter(const stress_cgroup* group) {
  if (write_file(group, "cgroup.procs", (uint64_t)getpid())) return true;
  fprintf(stderr, "stress: cannot enter %s: %s\n", group->path, strerror(errno));
  return false;
}

stress_cgroup_figures stress_cgroup_end(const stress_cgroup* group) {
  stress_cgroup_figures figures;
  if (group->is_v1) {
    figures.kills = read_file(group, "memory.oom_control", "oom_kill ");
    figures.peak_bytes = read_file(group, "memory.max_usage_in_bytes", "");
  } else {
    figures.kills = read_file(group, "memory.events", "oom_kill ");
    figures.peak_bytes = read_file(group, "memory.peak", "");
  }
  /* The last process may still be on its way out. */
  const struct timespec pause = {.tv_nsec = REMOVE_PAUSE_NS};
  for (int i = 0; i < REMOVE_TRIES && rmdir(group->path) != 0 && errno == EBUSY; i++) nanosleep(&pause, NULL);
  return figures;
}
