// A program linked with HAKMEM that uses what real ones use: both languages' allocation, threads, stdio, the loader.
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "hakmem/testing/harness/expect.h"
#include <hakmem/hakmem.h>

namespace {

void EveryNameIsOurs() {
  void* out = nullptr;
  EXPECT(posix_memalign(&out, 64, 100) == 0);
  void* const blocks[] = {
      std::malloc(100),
      std::calloc(10, 10),
      std::realloc(nullptr, 100),
      reallocarray(nullptr, 10, 10),
      out,
      memalign(64, 100),
      aligned_alloc(64, 128),
      valloc(100),
      pvalloc(100),
      strdup("text"),
      ::operator new(100),
      ::operator new[](100),
      std::malloc(100 << 20),
      std::malloc(300 << 10),
      ::operator new (100, std::align_val_t{256}),
  };
  for (void* block : blocks) {
    EXPECT(block != nullptr && hak_is_in_heap(block));
    EXPECT(malloc_usable_size(block) == hak_malloc_usable_size(block));
    std::free(launder(block));  // the two languages' blocks are of one kind here
  }
  EXPECT(!hak_is_in_heap(&out));
  EXPECT(std::strcmp(hak_version(), HAK_VERSION_TEXT) == 0);
}

void Threads() {
  std::vector<std::unique_ptr<std::string>> made(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < made.size(); i++) {
    threads.emplace_back([&made, i] {
      for (int round = 0; round < 1000; round++) {
        made[i] = std::make_unique<std::string>(100 + static_cast<std::size_t>(round), 'a');
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& text : made) EXPECT(text->size() == 1099 && hak_is_in_heap(text->data()));
}

// getline's buffer is malloc'ed and realloc'ed inside libc, and freed here.
void Streams() {
  std::FILE* file = std::tmpfile();
  EXPECT(file != nullptr);
  for (int i = 0; i < 3000; i++) EXPECT(std::fprintf(file, "%d ", i) > 0);
  std::rewind(file);
  char* line = nullptr;
  std::size_t size = 0;
  EXPECT(getline(&line, &size, file) > 10000);
  EXPECT(hak_is_in_heap(line) && malloc_usable_size(line) >= size);
  std::free(line);
  std::fclose(file);
}

#ifdef HAKMEM_TEST_DYNAMIC
void Loader() {
  for (int round = 0; round < 20; round++) {
    void* library = dlopen("libm.so.6", RTLD_NOW);
    EXPECT(library != nullptr);
    EXPECT(dlsym(library, "cos") != nullptr);
    EXPECT(dlclose(library) == 0);
    EXPECT(dlopen("libno-such-library.so", RTLD_NOW) == nullptr);
    EXPECT(dlerror() != nullptr);
  }
}
#else
void Loader() {}
#endif

}  // namespace

int main() {
  EveryNameIsOurs();
  Threads();
  Streams();
  Loader();
  std::printf("ok\n");
  return 0;
}
