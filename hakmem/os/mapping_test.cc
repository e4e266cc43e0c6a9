#include "hakmem/os/mapping.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

namespace {

std::string Itself() {
  std::vector<char> path(4096);
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  return length < 0 ? "" : std::string(path.data(), static_cast<size_t>(length));
}

TEST(Mapping, OfCode) {
  static const volatile char constant[] = "a text that stands in the file";
  hak_mapping found;
  ASSERT_TRUE(hak_mapping_find(const_cast<const char*>(constant), &found));
  EXPECT_EQ(found.path, Itself());
  std::ifstream file(found.path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(found.offset));
  std::string text(sizeof constant - 1, 0);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  EXPECT_EQ(text, "a text that stands in the file");
}

TEST(Mapping, OfALibrary) {
  hak_mapping found;
  ASSERT_TRUE(hak_mapping_find(reinterpret_cast<const void*>(&getppid), &found));
  EXPECT_EQ(found.path[0], '/');
}

TEST(Mapping, WhatIsFromNoFile) {
  hak_mapping found;
  int on_the_stack = 0;
  EXPECT_FALSE(hak_mapping_find(&on_the_stack, &found));
  EXPECT_FALSE(hak_mapping_find(nullptr, &found));
  EXPECT_FALSE(hak_mapping_find(reinterpret_cast<const void*>(~uintptr_t{0}), &found));
}

}  // namespace
