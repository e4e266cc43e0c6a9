/* Which files there are: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. The hierarchies are
 * looked for where every distribution and container has them; to read where they are mounted would take longer than all
 * the rest. */
#include <string.h>

#include "hakmem/limits/group_inl.h"
#include "hakmem/os/os.h"

static const char v2_root[] = "/sys/fs/cgroup";
static const char v1_memory_root[] = "/sys/fs/cgroup/memory";
static const char v1_cpu_root[] = "/sys/fs/cgroup/cpu";

enum {
  LEVELS_MAX = 16,
  /* Version 1 says "none" with the largest multiple of a page. */
  V1_NONE_BITS = 62
};

/* --- text --- */

/* What follows `begin` in `text`, or NULL. */
static const char* skip(const char* text, const char* begin) {
  for (; *begin != 0; begin++, text++) {
    if (*text != *begin) return NULL;
  }
  return text;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The number at the beginning; `none` where there is none, such as at "max". *rest is what comes after it. */
static uint64_t number_at(const char* text, uint64_t none, const char** rest) {
  uint64_t number = 0;
  *rest = text;
  if (!is_digit(*text)) return none;
  for (; is_digit(*text); text++) {
    if (__builtin_mul_overflow(number, 10, &number) ||
        __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number)) {
      return none;
    }
  }
  *rest = text;
  return number;
}

static const char* next_line(const char* text) {
  while (*text != 0 && *text != '\n') text++;
  return *text == 0 ? NULL : text + 1;
}

/* What follows a line's first word `key` and a blank, or NULL. */
static const char* value_of(const char* text, const char* key) {
  for (; text != NULL; text = next_line(text)) {
    const char* rest = skip(text, key);
    if (rest != NULL && *rest == ' ') return rest + 1;
  }
  return NULL;
}

/* --- files --- */

/* Reads the file `name` in the folder that group->path begins with. */
static bool read_in(hak_limits_group* group, size_t folder_length, const char* name) {
  char* at = group->path + folder_length;
  *at++ = '/';
  while ((*at++ = *name++) != 0) continue;
  return hak_os_read_file(group->path, group->text, sizeof group->text);
}

static uint64_t read_number(hak_limits_group* group, size_t folder_length, const char* name, uint64_t none) {
  const char* rest;
  return read_in(group, folder_length, name) ? number_at(group->text, none, &rest) : none;
}

/* --- which group --- */

/* The paths of the process's groups in the three hierarchies that matter, up to the end of their lines; NULL: in none. */
typedef struct group_paths {
  const char* memory_v1;
  const char* cpu_v1;
  const char* v2;
} group_paths;

static bool is_end(char c) { return c == 0 || c == '\n'; }

/* Notes what one line `id:controllers:path` says; those of version 2 have no controllers. Returns its end. */
static const char* note_line(const char* at, group_paths* paths) {
  bool is_memory = false;
  bool is_cpu = false;
  while (*at != ':' && !is_end(*at)) at++;
  if (*at != ':') return at;
  const char* word = ++at;
  for (;; at++) {
    if (is_end(*at)) return at;
    if (*at != ',' && *at != ':') continue;
    is_memory |= at - word == 6 && skip(word, "memory") != NULL;
    is_cpu |= at - word == 3 && skip(word, "cpu") != NULL;
    if (*at == ':') break;
    word = at + 1;
  }
  const char* path = at + 1;
  if (is_memory) paths->memory_v1 = path;
  if (is_cpu) paths->cpu_v1 = path;
  if (at[-1] == ':') paths->v2 = path;
  for (at++; !is_end(*at); at++) continue;
  return at;
}

static group_paths find_paths(const char* text) {
  group_paths paths = {NULL, NULL, NULL};
  for (;; text++) {
    text = note_line(text, &paths);
    if (*text == 0) return paths;
  }
}

/* Puts the folder of a group into group->path. Returns its length; 0: it is too long. */
static size_t enter(hak_limits_group* group, const char* root, size_t root_length, const char* path) {
  size_t length = root_length;
  memcpy(group->path, root, root_length);
  for (; !is_end(*path); path++) {
    if (length == HAK_LIMITS_PATH_BYTES) return 0;
    group->path[length++] = *path;
  }
  while (length > root_length && group->path[length - 1] == '/') length--;
  return length;
}

/* The folder around it; the root's own is the root. */
static size_t leave(const hak_limits_group* group, size_t length, size_t root_length) {
  while (length > root_length && group->path[length - 1] != '/') length--;
  return length > root_length ? length - 1 : root_length;
}

/* --- limits --- */

static void note_memory(hak_limits_group* group, size_t folder_length, uint64_t bytes) {
  if (bytes == 0 || (group->memory_bytes != 0 && bytes >= group->memory_bytes)) return;
  group->memory_bytes = bytes;
  group->folder_length = folder_length;
  memcpy(group->folder, group->path, folder_length);
}

static void note_cpus(hak_limits_group* group, uint64_t quota, uint64_t period) {
  if (quota == 0 || period == 0 || quota > UINT64_MAX / 1000) return;
  const uint64_t milli = quota * 1000 / period;
  if (milli != 0 && (group->milli_cpus == 0 || milli < group->milli_cpus)) group->milli_cpus = milli;
}

static void look_at_v2(hak_limits_group* group, size_t length) {
  note_memory(group, length, read_number(group, length, "memory.max", 0));
  note_memory(group, length, read_number(group, length, "memory.high", 0));
  if (!read_in(group, length, "cpu.max")) return;
  const char* rest;
  const uint64_t quota = number_at(group->text, 0, &rest);
  if (quota != 0 && *rest == ' ') note_cpus(group, quota, number_at(rest + 1, 0, &rest));
}

static void look_at_v1_memory(hak_limits_group* group, size_t length) {
  const uint64_t bytes = read_number(group, length, "memory.limit_in_bytes", 0);
  if ((bytes >> V1_NONE_BITS) == 0) note_memory(group, length, bytes);
}

static void look_at_v1_cpu(hak_limits_group* group, size_t length) {
  const uint64_t quota = read_number(group, length, "cpu.cfs_quota_us", 0);
  if (quota != 0) note_cpus(group, quota, read_number(group, length, "cpu.cfs_period_us", 0));
}

/* Looks at the group and at those around it. A container may see its own group as the root: then the folders on the way are
 * not there, and the root is looked at in any case. False: the process is in no such group. */
static bool walk(hak_limits_group* group, const char* root, size_t root_length, const char* path,
                 void (*look)(hak_limits_group* group, size_t length)) {
  if (path == NULL) return false;
  size_t length = enter(group, root, root_length, path);
  for (int level = 0; level < LEVELS_MAX && length > root_length; level++) {
    look(group, length);
    length = leave(group, length, root_length);
  }
  look(group, root_length);
  return true;
}

void hak_limits_group_find(hak_limits_group* group) {
  if (!hak_os_read_file("/proc/self/cgroup", group->groups, sizeof group->groups)) return;
  const group_paths paths = find_paths(group->groups);
  if (walk(group, v1_memory_root, sizeof v1_memory_root - 1, paths.memory_v1, look_at_v1_memory)) {
    group->version = 1;
  } else if (walk(group, v2_root, sizeof v2_root - 1, paths.v2, look_at_v2)) {
    group->version = 2;
  }
  (void)walk(group, v1_cpu_root, sizeof v1_cpu_root - 1, paths.cpu_v1, look_at_v1_cpu);
}

/* --- figures --- */

static void enter_limited(hak_limits_group* group) { memcpy(group->path, group->folder, group->folder_length); }

uint64_t hak_limits_group_used_bytes(hak_limits_group* group) {
  enter_limited(group);
  return read_number(group, group->folder_length, group->version == 1 ? "memory.usage_in_bytes" : "memory.current", 0);
}

uint64_t hak_limits_group_pinned_bytes(hak_limits_group* group, uint64_t used_bytes) {
  enter_limited(group);
  if (!read_in(group, group->folder_length, "memory.stat")) return used_bytes;
  const char* value = value_of(group->text, group->version == 1 ? "total_rss" : "anon");
  const char* rest;
  return value == NULL ? used_bytes : number_at(value, used_bytes, &rest);
}

uint64_t hak_limits_group_pressure(hak_limits_group* group) {
  if (group->version != 2) return 0;
  enter_limited(group);
  if (!read_in(group, group->folder_length, "memory.pressure")) return 0;
  const char* value = skip(group->text, "some avg10=");
  if (value == NULL) return 0;
  const uint64_t whole = number_at(value, 0, &value);
  uint64_t hundredths = 0;
  for (int digit = 0; digit < 2; digit++) {
    if (digit == 0 && *value == '.') value++;
    hundredths = hundredths * 10 + (is_digit(*value) ? (uint64_t)(*value++ - '0') : 0);
  }
  return whole * 100 + hundredths;
}
