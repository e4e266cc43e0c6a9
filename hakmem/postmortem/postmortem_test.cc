#include "hakmem/postmortem/postmortem.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "hakmem/base/thread.h"
#include "hakmem/config/config.h"
#include "hakmem/config/test_config.h"
#include "hakmem/postmortem/peek_inl.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

std::string Explain(const void* address) {
  int pipes[2];
  EXPECT_EQ(pipe(pipes), 0);
  errno = 77;
  hak_postmortem_explain(address, pipes[1]);
  EXPECT_EQ(errno, 77);
  close(pipes[1]);
  std::string out;
  char piece[4096];
  for (ssize_t n; (n = read(pipes[0], piece, sizeof piece)) > 0;) out.append(piece, static_cast<size_t>(n));
  close(pipes[0]);
  return out;
}

std::string Hex(const void* address) {
  char text[32];
  snprintf(text, sizeof text, "0x%lx", reinterpret_cast<unsigned long>(address));
  return text;
}

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

using Peek = bool (*)(const void*, void*, size_t);

TEST(PostmortemPeek, ReadsWhatIsThereAndNothingElse) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  char* pages = static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(pages, MAP_FAILED);
  pages[page - 1] = 'x';
  ASSERT_EQ(mprotect(pages + page, page, PROT_NONE), 0);
  for (Peek peek : {Peek{hak_peek}, Peek{hak_peek_by_probing}}) {
    char out[2] = {0, 0};
    EXPECT_TRUE(peek(pages + page - 1, out, 1));
    EXPECT_EQ(out[0], 'x');
    EXPECT_FALSE(peek(pages + page - 1, out, 2));
    EXPECT_FALSE(peek(nullptr, out, 1));
    EXPECT_FALSE(peek(reinterpret_cast<void*>(UINTPTR_MAX), out, 2));
  }
  munmap(pages, 2 * page);
}

TEST(PostmortemPeek, KnowsThreads) {
  EXPECT_EQ(hak_peek_thread(hak_thread_pointer()), static_cast<uint32_t>(syscall(SYS_gettid)));
  EXPECT_EQ(hak_peek_thread(nullptr), 0u);
}

TEST(PostmortemPeek, NamesCode) {
  hak_print line;
  hak_print_init(&line);
  hak_peek_print_code(&line, reinterpret_cast<const void*>(&Explain));
  EXPECT_HAS(std::string(line.text), "postmortem_test+0x");
}

TEST(Postmortem, LiveBlock) {
  char* block = static_cast<char*>(hak_malloc(100));
  const std::string text = Explain(block + 5);
  EXPECT_HAS(text, Hex(block + 5) + " is 5 bytes inside the block " + Hex(block) + " of 112 bytes, live\n");
  EXPECT_HAS(text, " blocks of 112 bytes: ");
  EXPECT_HAS(Explain(block), " is the start of the block ");
  hak_free(block);
}

TEST(Postmortem, CachedBlock) {
  void* block = hak_malloc(100);
  hak_free(block);
  EXPECT_HAS(Explain(block), " of 112 bytes, free, cached by thread " + std::to_string(syscall(SYS_gettid)));
}

TEST(Postmortem, FreeBlock) {
  std::vector<void*> blocks;
  for (int i = 0; i < 5000; i++) blocks.push_back(hak_malloc(160));
  // Each slab keeps a block that is live.
  for (size_t i = 0; i < blocks.size(); i++) {
    if (i % 100 != 0) hak_free(blocks[i]);
  }
  EXPECT_HAS(Explain(blocks[2501]), "free, in its slab\n");
  for (size_t i = 0; i < blocks.size(); i += 100) hak_free(blocks[i]);
}

TEST(Postmortem, FreedByAnotherThread) {
  void* block = hak_malloc(200);
  std::thread([block] {
    hak_free(block);
    EXPECT_HAS(Explain(block), "which does not own it");
  }).join();
  const std::string text = Explain(block);
  EXPECT_HAS(text, "freed by a thread that does not own it");
  EXPECT_HAS(text, ", 1 freed from afar, ");
}

TEST(Postmortem, BlockOfAThreadThatHasEnded) {
  void* block = nullptr;
  std::thread([&] { block = hak_malloc(300); }).join();
  EXPECT_HAS(Explain(block), " of a thread that has ended has ");
  hak_free(block);
}

TEST(Postmortem, SpansAndWhales) {
  char* span = static_cast<char*>(hak_malloc(300 * 1024));
  EXPECT_HAS(Explain(span + 100000), "100000 bytes inside the span " + Hex(span) + " of 327680 bytes, live\n");
  hak_free(span);
  EXPECT_HAS(Explain(span + 100000), "in no block: unit ");
  span = static_cast<char*>(hak_malloc(300 * 1024));
  hak_free(span); /* parked: of its units those behind the first still say whose they are */
  EXPECT_HAS(Explain(span), "in no block: unit ");
  EXPECT_HAS(Explain(span + 100000), "in no block: unit ");
  KeepSurplus();
  char* whale = static_cast<char*>(hak_malloc(3 << 20));
  EXPECT_HAS(Explain(whale + (2 << 20)), "2097152 bytes inside the whale " + Hex(whale) + " of 3145728 bytes, live\n");
  hak_free(whale);
  EXPECT_HAS(Explain(whale), "the start of the whale " + Hex(whale) + " of 3145728 bytes, freed, and cached\n");
}

TEST(Postmortem, WhatIsNoBlock) {
  int local = 0;
  EXPECT_HAS(Explain(&local), " is not HAKMEM's\n");
  EXPECT_HAS(Explain(reinterpret_cast<void*>(24)), "0x18 is near NULL");
  EXPECT_HAS(Explain(reinterpret_cast<void*>(0x4141414141414141)), "no address that a program can have");
}

}  // namespace
