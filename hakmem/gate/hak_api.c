#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hakmem/config/config.h"
#include "hakmem/ctl/ctl.h"
#include "hakmem/gate/gate.h"
#include "hakmem/gate/gate_inl.h"
#include "hakmem/profile/profile.h"
#include "hakmem/report/report.h"
#include <hakmem/hakmem.h>

HAK_HIT_PATH void* hak_malloc(size_t size) { return hak_gate_malloc(size); }

HAK_HIT_PATH void hak_free(void* ptr) { hak_gate_free(ptr); }

void* hak_calloc(size_t count, size_t size) { return hak_gate_calloc(count, size); }

void* hak_realloc(void* ptr, size_t size) { return hak_gate_realloc(ptr, size); }

void* hak_reallocarray(void* ptr, size_t count, size_t size) { return hak_gate_reallocarray(ptr, count, size); }

void* hak_rezalloc(void* ptr, size_t old_size, size_t size) { return hak_gate_rezalloc(ptr, old_size, size); }

void hak_free_sized(void* ptr, size_t size) { hak_gate_free_sized(ptr, size); }

void hak_free_aligned_sized(void* ptr, size_t alignment, size_t size) {
  (void)alignment;
  hak_gate_free_sized(ptr, size);
}

void* hak_aligned_alloc(size_t alignment, size_t size) { return hak_gate_aligned_alloc(alignment, size); }

int hak_posix_memalign(void** out, size_t alignment, size_t size) {
  return hak_gate_posix_memalign(out, alignment, size);
}

void* hak_memalign(size_t alignment, size_t size) { return hak_gate_memalign(alignment, size); }

size_t hak_malloc_usable_size(const void* ptr) { return hak_gate_usable_size(ptr); }

size_t hak_good_size(size_t size) { return hak_gate_good_size(size); }

void* hak_expand(void* ptr, size_t size) { return hak_gate_expand(ptr, size); }

size_t hak_malloc_batch(size_t size, size_t count, void** out) {
  size_t done = 0;
  while (done < count) {
    void* block = hak_gate_malloc(size);
    if (block == NULL) break;
    out[done++] = block;
  }
  return done;
}

void hak_free_batch(void** ptrs, size_t count) {
  for (size_t i = 0; i < count; i++) hak_gate_free(ptrs[i]);
}

bool hak_is_in_heap(const void* ptr) { return hak_gate_is_in_heap(ptr); }

size_t hak_trim(void) { return hak_gate_trim(); }

extern char** environ;

int hak_option_set(const char* name, const char* value) {
  if (name == NULL || value == NULL) return EINVAL;
  hak_config_load(environ); /* what comes from there is not to win over this */
  return hak_config_set(name, value);
}

int hak_option_get(const char* name, char* out, size_t size) {
  if (name == NULL || out == NULL) return EINVAL;
  hak_config_load(environ);
  return hak_config_read(name, out, size);
}

int hak_stats_get(hak_stats* out, size_t size) {
  if (out == NULL || size < 2 * sizeof(uint64_t)) return EINVAL;
  hak_stats now;
  hak_report_read_stats(&now);
  const size_t filled = size < sizeof now ? size : sizeof now;
  now.size_bytes = filled;
  memcpy(out, &now, filled);
  return 0;
}

void hak_stats_json(hak_write write, void* context) { hak_report_json(write, context); }

void hak_stats_openmetrics(hak_write write, void* context) { hak_report_openmetrics(write, context); }

int hak_ctl(const char* name, void* old_value, size_t* old_size, const void* new_value, size_t new_size) {
  static const hak_ctl_actions actions = {hak_gate_trim, hak_gate_trim_thread};
  hak_config_load(environ);
  return hak_ctl_access(&actions, name, old_value, old_size, new_value, new_size);
}

void hak_ctl_names(hak_write write, void* context) { hak_ctl_list(write, context); }

void hak_stats_print(void) { hak_report_summary(STDERR_FILENO); }

void hak_profile_start(size_t interval) { hak_profile_begin(interval); }

void hak_profile_stop(void) { hak_profile_end(); }

bool hak_profile_write(const char* path) { return hak_profile_save(path); }

const char* hak_version(void) { return HAK_VERSION_TEXT; }
