/* Where options come from: a list in the program, a file, the environment. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/base/print.h"
#include "hakmem/config/config_inl.h"

enum {
  FILE_BYTES = 16 * 1024,
  /* What users write is of any length; the reason behind it must not be cut off. */
  NAME_SHOWN_BYTES = 40,
  VALUE_SHOWN_BYTES = 80
};

static const char prefix[] = "HAKMEM_";

/* --- complaints --- */

/* "hakmem: ignored decay_ms:never in HAKMEM_CONF", or "... HAKMEM_DECAY_MS=never". */
static void begin_complaint(hak_print* line, hak_slice name, const char* between, hak_slice value,
                            hak_config_source source) {
  const bool is_variable = source == HAK_CONFIG_VARIABLE;
  hak_print_init(line);
  hak_print_str(line, "hakmem: ignored ");
  if (is_variable) hak_print_str(line, prefix);
  hak_print_slice(line, name, NAME_SHOWN_BYTES);
  hak_print_str(line, between);
  hak_print_slice(line, value, VALUE_SHOWN_BYTES);
  if (is_variable) return;
  hak_print_str(line, " in ");
  hak_print_str(line, hak_config_source_name(source));
}

static void end_complaint(hak_print* line) {
  hak_print_str(line, "\n");
  hak_print_flush(line, STDERR_FILENO);
}

static void load_option(hak_slice name, hak_slice value, hak_config_source source) {
  const bool is_variable = source == HAK_CONFIG_VARIABLE;
  const hak_option option = hak_config_find(name, is_variable ? HAK_CONFIG_UPPER : HAK_CONFIG_LOWER);
  const int error = option == HAK_OPTION_COUNT ? ENOENT : hak_config_apply(option, value, source);
  if (error == 0) return;
  hak_print line;
  begin_complaint(&line, name, is_variable ? "=" : ":", value, source);
  hak_print_str(&line, ": ");
  if (error == ENOENT) {
    hak_print_str(&line, "no such option");
  } else {
    hak_config_print_reason(&line, option, error);
  }
  end_complaint(&line);
}

/* --- lists --- */

static void load_item(hak_slice item, hak_config_source source) {
  item = hak_slice_trimmed(item);
  if (item.length == 0) return;
  hak_slice value = item;
  const hak_slice name = hak_slice_cut(&value, ':');
  if (name.length == item.length) {
    hak_print line;
    begin_complaint(&line, item, "", (hak_slice){item.text, 0}, source);
    hak_print_str(&line, ": not name:value");
    end_complaint(&line);
    return;
  }
  load_option(hak_slice_trimmed(name), hak_slice_trimmed(value), source);
}

void hak_config_load_list(hak_slice list, hak_config_source source) {
  while (list.length != 0) {
    hak_slice line = hak_slice_uncommented(hak_slice_cut(&list, '\n'));
    while (line.length != 0) load_item(hak_slice_cut(&line, ','), source);
  }
}

/* --- the environment --- */

/* What follows `begin` in `text`, or NULL. */
static const char* skip(const char* text, const char* begin) {
  while (*begin != 0) {
    if (*text++ != *begin++) return NULL;
  }
  return text;
}

/* The part of a variable HAKMEM_<NAME>=<value> behind the prefix, or NULL: it is another one. Those of this project's tests
 * and tools begin with HAKMEM_TEST_ and HAKMEM_TOOL_. */
static const char* skip_prefix(const char* entry) {
  const char* rest = skip(entry, prefix);
  return rest == NULL || skip(rest, "TEST_") != NULL || skip(rest, "TOOL_") != NULL ? NULL : rest;
}

static void load_variable(const char* entry) {
  hak_slice value = hak_slice_of(entry);
  const size_t length = value.length;
  const hak_slice name = hak_slice_cut(&value, '=');
  if (name.length != length) load_option(name, value, HAK_CONFIG_VARIABLE);
}

void hak_config_load_environment(char** environment) {
  static const char list[] = "CONF=";
  bool any = false;
  for (char** entry = environment; *entry != NULL; entry++) {
    const char* rest = skip_prefix(*entry);
    if (rest == NULL) continue;
    any = true;
    const char* items = skip(rest, list);
    if (items != NULL) hak_config_load_list(hak_slice_of(items), HAK_CONFIG_LIST);
  }
  if (!any) return;
  for (char** entry = environment; *entry != NULL; entry++) {
    const char* rest = skip_prefix(*entry);
    if (rest != NULL && skip(rest, list) == NULL) load_variable(rest);
  }
}

/* --- the file --- */

/* libc's open and read are points at which a thread may be cancelled; the first malloc of a process is none. */
static long open_to_read(const char* path) {
  /* Not to wait for the writer of a pipe. */
  return syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* Up to `size` bytes; how many. */
static size_t read_file(const char* path, char* out, size_t size) {
  const long file = open_to_read(path);
  if (file < 0) return 0;
  size_t length = 0;
  while (length < size) {
    const long got = syscall(SYS_read, file, out + length, size - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += (size_t)got;
  }
  syscall(SYS_close, file);
  return length;
}

void hak_config_load_file(const char* path) {
  static char text[FILE_BYTES]; /* one thread loads; untouched where there is no file */
  const int saved_errno = errno;
  hak_slice all = {text, read_file(path, text, sizeof text)};
  errno = saved_errno;
  if (all.length == sizeof text) {
    /* There may be more, and the last line be half of one, with another meaning. */
    while (all.length != 0 && text[all.length - 1] != '\n') all.length--;
    hak_print line;
    hak_print_init(&line);
    hak_print_str(&line, "hakmem: ignored what comes after ");
    hak_print_u64(&line, all.length);
    hak_print_str(&line, " bytes of ");
    hak_print_str(&line, hak_config_source_name(HAK_CONFIG_FILE));
    end_complaint(&line);
  }
  hak_config_load_list(all, HAK_CONFIG_FILE);
}
