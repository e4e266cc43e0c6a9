#include <elf.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/os/os.h"
#include "hakmem/sites/symbols_inl.h"

enum { SEGMENTS_MAX = 64, SECTIONS_MAX = 4096, NAME_BYTES_MAX = 4096 };

/* Larger tables are left out: 256 MiB of names and of symbols. */
static const uint64_t table_bytes_max = 256ull * 1024 * 1024;

/* Everything is copied, and not mapped from the file: who truncates it meanwhile must not kill the process. */
typedef struct elf_file {
  int file;
  Elf64_Ehdr header;
  uint32_t segment_count;
  Elf64_Phdr segments[SEGMENTS_MAX];
} elf_file;

/* Part of the file in mapped memory. */
typedef struct table {
  char* bytes;
  uint64_t size;
  size_t mapped;
} table;

static bool read_at(int file, void* out, uint64_t size, uint64_t offset) {
  char* to = (char*)out;
  for (uint64_t done = 0; done < size;) {
    const long count = syscall(SYS_pread64, file, to + done, size - done, offset + done);
    if (count <= 0) return false;
    done += (uint64_t)count;
  }
  return true;
}

static bool load(int file, uint64_t offset, uint64_t size, table* out) {
  *out = (table){NULL, size, 0};
  if (size == 0 || size > table_bytes_max) return false;
  const size_t mapped = hak_round_up((size_t)size, hak_os_page_bytes());
  char* bytes = (char*)hak_os_map(mapped);
  if (bytes == NULL) return false;
  if (!read_at(file, bytes, size, offset)) {
    (void)hak_os_unmap(bytes, mapped);
    return false;
  }
  out->bytes = bytes;
  out->mapped = mapped;
  return true;
}

static void unload(table* loaded) {
  if (loaded->bytes != NULL) (void)hak_os_unmap(loaded->bytes, loaded->mapped);
}

static bool is_elf(const Elf64_Ehdr* header) {
  return header->e_ident[EI_MAG0] == ELFMAG0 && header->e_ident[EI_MAG1] == ELFMAG1 &&
         header->e_ident[EI_MAG2] == ELFMAG2 && header->e_ident[EI_MAG3] == ELFMAG3 &&
         header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == ELFDATA2LSB &&
         header->e_phentsize == sizeof(Elf64_Phdr) && header->e_shentsize == sizeof(Elf64_Shdr);
}

static bool read_headers(elf_file* elf) {
  if (!read_at(elf->file, &elf->header, sizeof elf->header, 0) || !is_elf(&elf->header)) return false;
  elf->segment_count = elf->header.e_phnum < SEGMENTS_MAX ? elf->header.e_phnum : SEGMENTS_MAX;
  return read_at(elf->file, elf->segments, elf->segment_count * sizeof elf->segments[0], elf->header.e_phoff);
}

/* Where in the file an address of its own lies. False: nowhere. */
static bool offset_of(const elf_file* elf, uint64_t address, uint64_t* offset) {
  for (uint32_t i = 0; i < elf->segment_count; i++) {
    const Elf64_Phdr* segment = &elf->segments[i];
    if (segment->p_type != PT_LOAD || address - segment->p_vaddr >= segment->p_filesz) continue;
    *offset = address - segment->p_vaddr + segment->p_offset;
    return true;
  }
  return false;
}

/* The name at `at`, up to its end or the table's. */
static hak_slice name_at(const table* names, uint64_t at) {
  hak_slice name = {names->bytes, 0};
  if (at >= names->size) return name;
  name.text += at;
  while (at + name.length < names->size && name.length < NAME_BYTES_MAX && name.text[name.length] != 0) name.length++;
  return name;
}

static void report(const elf_file* elf, const Elf64_Sym* symbol, const table* names, hak_symbols_found found,
                   void* context) {
  const uint32_t type = symbol->st_info & 15;
  if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF || symbol->st_size == 0) return;
  uint64_t begin;
  if (!offset_of(elf, symbol->st_value, &begin)) return;
  found(context, name_at(names, symbol->st_name), begin, begin + symbol->st_size);
}

static bool read_table(const elf_file* elf, const Elf64_Shdr* section, const Elf64_Shdr* names_section,
                       hak_symbols_found found, void* context) {
  table symbols, names = {NULL, 0, 0};
  const bool is_loaded = load(elf->file, section->sh_offset, section->sh_size, &symbols) &&
                         load(elf->file, names_section->sh_offset, names_section->sh_size, &names);
  const Elf64_Sym* rows = (const Elf64_Sym*)(const void*)symbols.bytes;
  const uint64_t count = is_loaded ? symbols.size / sizeof(Elf64_Sym) : 0;
  for (uint64_t i = 0; i < count; i++) report(elf, &rows[i], &names, found, context);
  unload(&symbols);
  unload(&names);
  return is_loaded;
}

static bool read_tables(const elf_file* elf, hak_symbols_found found, void* context) {
  const uint32_t count = elf->header.e_shnum;
  table sections;
  if (count > SECTIONS_MAX || !load(elf->file, elf->header.e_shoff, count * sizeof(Elf64_Shdr), &sections))
    return false;
  const Elf64_Shdr* rows = (const Elf64_Shdr*)(const void*)sections.bytes;
  bool is_any = false;
  for (uint32_t i = 0; i < count; i++) {
    if ((rows[i].sh_type != SHT_SYMTAB && rows[i].sh_type != SHT_DYNSYM) || rows[i].sh_link >= count) continue;
    if (read_table(elf, &rows[i], &rows[rows[i].sh_link], found, context)) is_any = true;
  }
  unload(&sections);
  return is_any;
}

bool hak_symbols_read(const char* path, hak_symbols_found found, void* context) {
  elf_file elf;
  elf.file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
  if (elf.file < 0) return false;
  const bool is_read = read_headers(&elf) && read_tables(&elf, found, context);
  (void)syscall(SYS_close, elf.file);
  return is_read;
}
