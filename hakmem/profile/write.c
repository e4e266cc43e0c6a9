/* The profile as a file. Little-endian words of 64 bits, so that one reader will do:
 *
 *   "HAKPROF1", then HEADER_WORDS words, their names in `header`
 *   for each size class: CLASS_WORDS
 *   for each site: SITE_WORDS, then its frames
 *   for each sample, those that are unused too: SAMPLE_WORDS
 *   /proc/self/maps, and a line "end" by which a reader knows that nothing is cut off
 *
 * tools/hakmem_lib/profile/data.py reads it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/profile/tables_inl.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"

enum { BUFFER_BYTES = 8192, TRIES = 1000 };

typedef struct output {
  int fd;
  bool failed;
  size_t length;
  char buffer[BUFFER_BYTES];
} output;

static void flush(output* out) {
  size_t done = 0;
  while (!out->failed && done < out->length) {
    const long written = syscall(SYS_write, out->fd, out->buffer + done, out->length - done);
    if (written > 0) done += (size_t)written;
    if (written <= 0 && errno != EINTR) out->failed = true;
  }
  out->length = 0;
}

static void put_words(output* out, const uint64_t* words, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (out->length + sizeof words[i] > BUFFER_BYTES) flush(out);
    memcpy(out->buffer + out->length, &words[i], sizeof words[i]);
    out->length += sizeof words[i];
  }
}

#define COUNT(words) (sizeof(words) / sizeof((words)[0]))

static void put_header(output* out, uint64_t sites, uint64_t samples) {
  hak_lock_take(hak_profile_lock());
  const hak_profile_tables* all = hak_profile_read();
  const uint64_t header[] = {
      (uint64_t)syscall(SYS_getpid),
      all->mean_bytes,
      all->started_ms,
      hak_os_now_ms(),
      HAK_SIZE_CLASS_COUNT,
      sites,
      samples,
      all->dropped,
      all->allocated.blocks,
      all->allocated.bytes,
      all->live.blocks,
      all->live.bytes,
      all->peak.blocks,
      all->peak.bytes,
  };
  hak_lock_give(hak_profile_lock());
  const uint64_t count = COUNT(header);
  memcpy(out->buffer, "HAKPROF1", 8);
  out->length = 8;
  put_words(out, &count, 1);
  put_words(out, header, COUNT(header));
}

static void put_classes(output* out) {
  uint64_t slabs[HAK_SIZE_CLASS_COUNT] = {0};
  uint64_t taken[HAK_SIZE_CLASS_COUNT] = {0};
  hak_shared_pool_count_classes(slabs, taken);
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    const hak_size_class* row = &hak_size_class_table[c];
    const uint64_t words[] = {row->block_bytes, row->blocks, slabs[c], taken[c]};
    put_words(out, words, COUNT(words));
  }
}

static void put_site(output* out, uint32_t index) {
  hak_lock_take(hak_profile_lock());
  const hak_profile_site* site = hak_profile_site_at(index);
  const hak_profile_sum peak = site->peak_at == hak_profile_read()->peak_at ? site->peak : site->live;
  const uint64_t words[] = {
      site->depth, site->allocated.blocks, site->allocated.bytes, site->live.blocks,  site->live.bytes, peak.blocks,
      peak.bytes,  site->samples,          site->freed_samples,   site->freed_age_ms,
  };
  hak_lock_give(hak_profile_lock());
  put_words(out, words, COUNT(words));
  put_words(out, site->frames, site->depth); /* constant */
}

static void put_sample(output* out, uint32_t index) {
  hak_lock_take(hak_profile_lock());
  const hak_profile_sample* sample = hak_profile_sample_at(index);
  const hak_slab* slab = sample->slab; /* as long as the twin is taken it cannot go */
  const uint64_t words[] = {
      sample->address,
      sample->size_bytes,
      sample->block_bytes,
      sample->weight,
      sample->born_ms,
      sample->site,
      slab == NULL ? 0 : slab->size_class + 1u,
      slab == NULL ? 0 : slab->blocks,
      slab == NULL ? 0 : hak_slab_free_count(slab),
  };
  hak_lock_give(hak_profile_lock());
  put_words(out, words, COUNT(words));
}

static void put_maps(output* out) {
  flush(out);
  const long maps = syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
  long got;
  while (maps >= 0 && (got = syscall(SYS_read, maps, out->buffer, (long)BUFFER_BYTES)) > 0) {
    out->length = (size_t)got;
    flush(out);
  }
  if (maps >= 0) syscall(SYS_close, maps);
  memcpy(out->buffer, "end\n", 4);
  out->length = 4;
  flush(out);
}

/* False: too long. */
static bool make_name(hak_print* name, const char* path, uint32_t attempt) {
  hak_print_init(name);
  if (!hak_print_path(name, path)) return false;
  if (attempt != 0) {
    hak_print_str(name, ".");
    hak_print_u64(name, attempt);
  }
  return name->length + 1 < sizeof name->text;
}

static int create(const char* path) {
  for (uint32_t attempt = 0; attempt < TRIES; attempt++) {
    hak_print name;
    if (!make_name(&name, path, attempt)) return -1;
    const long fd = syscall(SYS_openat, AT_FDCWD, name.text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644L);
    if (fd >= 0) return (int)fd;
    if (errno != EEXIST) return -1;
  }
  return -1;
}

bool hak_profile_save(const char* path) {
  const int saved_errno = errno;
  output out;
  out.failed = false;
  out.length = 0;
  out.fd = create(path);
  if (out.fd >= 0) {
    hak_lock_take(hak_profile_lock());
    const uint64_t sites = hak_profile_read()->site_count;
    const uint64_t samples = hak_profile_read()->sample_count;
    hak_lock_give(hak_profile_lock());
    put_header(&out, sites, samples);
    put_classes(&out);
    for (uint64_t i = 0; i < sites; i++) put_site(&out, (uint32_t)i);
    for (uint64_t i = 0; i < samples; i++) put_sample(&out, (uint32_t)i);
    put_maps(&out);
    if (syscall(SYS_close, out.fd) != 0) out.failed = true;
  }
  errno = saved_errno;
  return out.fd >= 0 && !out.failed;
}

void hak_profile_at_exit(void) {
  const char* path = hak_config_text(HAK_OPTION_PROFILE_FILE);
  if (*path == 0 || getauxval(AT_SECURE) != 0) return;
  if (hak_profile_read()->started_ms == 0 || hak_profile_save(path)) return;
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: cannot write the heap profile to ");
  hak_print_str(&line, path);
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
}
