#include "hakmem/view/view.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <string>

#include "hakmem/base/control.h"
#include "hakmem/heap/heap.h"
#include "hakmem/os/os.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/slab/slab.h"
#include "hakmem/whale_cache/whale_cache.h"
#include <hakmem/hakmem.h>

namespace {

std::string Text(const char* bytes) { return std::string(bytes, strnlen(bytes, HAK_VIEW_NAME_BYTES)); }

using Fields = std::map<std::string, hak_view_field>;

// By structure and field; what is named twice fails.
std::map<std::string, Fields> AllFields() {
  std::map<std::string, Fields> out;
  for (const hak_view_part* part : hak_view.parts) {
    for (uint32_t i = 0; i < part->field_count; i++) {
      const hak_view_field& field = part->fields[i];
      const bool is_new = out[Text(field.structure)].emplace(Text(field.name), field).second;
      EXPECT_TRUE(is_new) << field.structure << "." << field.name;
    }
  }
  return out;
}

struct Root {
  const void* address;
  uint32_t size;
};

std::map<std::string, Root> AllRoots() {
  std::map<std::string, Root> out;
  for (const hak_view_part* part : hak_view.parts) {
    for (uint32_t i = 0; i < part->root_count; i++) {
      const bool is_new = out.emplace(Text(part->roots[i].name), Root{part->addresses[i], part->roots[i].size}).second;
      EXPECT_TRUE(is_new) << part->roots[i].name;
    }
  }
  return out;
}

TEST(View, HeaderSaysWhatItIs) {
  EXPECT_EQ(std::memcmp(hak_view.magic, HAK_VIEW_MAGIC, sizeof hak_view.magic), 0);
  EXPECT_EQ(hak_view.self, &hak_view);
  EXPECT_EQ(hak_view.header_bytes, sizeof hak_view);
  EXPECT_EQ(hak_view.abi, HAK_VIEW_ABI);
  EXPECT_STREQ(hak_view.version, HAK_VERSION_TEXT);
  EXPECT_EQ(hak_view.part_count, sizeof hak_view.parts / sizeof hak_view.parts[0]);
  EXPECT_EQ(hak_view.field_bytes, sizeof(hak_view_field));
  EXPECT_EQ(hak_view.root_bytes, sizeof(hak_view_root));
}

TEST(View, EveryPartIsThereOnce) {
  std::set<const hak_view_part*> parts(std::begin(hak_view.parts), std::end(hak_view.parts));
  EXPECT_EQ(parts.count(nullptr), 0u);
  EXPECT_EQ(parts.size(), HAK_VIEW_PARTS);
}

TEST(View, FieldsLieInTheirStructures) {
  for (const auto& structure : AllFields()) {
    const auto whole = structure.second.find("");
    ASSERT_NE(whole, structure.second.end()) << structure.first;
    for (const auto& field : structure.second) {
      EXPECT_GT(field.second.size, 0u);
      EXPECT_LE(uint64_t{field.second.offset} + uint64_t{field.second.size} * field.second.count, whole->second.size)
          << structure.first << "." << field.first;
    }
  }
}

TEST(View, FieldsAreWhereTheCompilerPutThem) {
  const auto fields = AllFields();
  const hak_view_field& mailboxes = fields.at("heap").at("mailboxes");
  EXPECT_EQ(mailboxes.offset, offsetof(hak_heap, mailboxes));
  EXPECT_EQ(mailboxes.size, sizeof(hak_mailbox));
  EXPECT_EQ(mailboxes.count, HAK_SIZE_CLASS_COUNT);
  const hak_view_field& pending = fields.at("slab").at("pending");
  EXPECT_EQ(pending.offset, offsetof(hak_slab, pending));
  EXPECT_EQ(pending.size, sizeof(uint32_t));
  EXPECT_EQ(pending.count, 1u);
  EXPECT_EQ(fields.at("heap").at("budget.grown").offset, offsetof(hak_heap, budget.grown));
}

// A counter that is added to one of these and not shown would be a counter that only half of the readers know of.
TEST(View, CounterStructuresAreShownWhole) {
  const auto fields = AllFields();
  for (const char* name : {"heap_counters", "pool_counts", "whale_figures", "control", "latency"}) {
    uint64_t bytes = 0;
    for (const auto& field : fields.at(name))
      bytes += field.first.empty() ? 0 : uint64_t{field.second.size} * field.second.count;
    // The lists of whales have their own counts, which read_figures copies to the first four.
    const uint64_t derived = std::string(name) == "whale_figures" ? offsetof(hak_whale_cache_figures, from_cache) : 0;
    EXPECT_EQ(bytes + derived, fields.at(name).at("").size) << name;
  }
}

TEST(View, RootsAreVariables) {
  const auto roots = AllRoots();
  for (const auto& root : roots) {
    EXPECT_NE(root.second.address, nullptr) << root.first;
    EXPECT_GT(root.second.size, 0u) << root.first;
  }
  EXPECT_EQ(roots.at("size_classes").address, static_cast<const void*>(hak_size_class_table));
  EXPECT_EQ(roots.at("size_classes").size, sizeof(hak_size_class) * HAK_SIZE_CLASS_COUNT);
  EXPECT_EQ(roots.at("common_heap").address, static_cast<const void*>(hak_heap_common()));
  EXPECT_EQ(roots.at("control").address, static_cast<const void*>(&hak_control_words));
}

TEST(View, BinOffsets) {
  const Root root = AllRoots().at("bin_offsets");
  ASSERT_EQ(root.size, sizeof(uint16_t) * HAK_SIZE_CLASS_COUNT);
  const uint16_t* offsets = static_cast<const uint16_t*>(root.address);
  for (int c = 0; c < HAK_SIZE_CLASS_COUNT; c++) EXPECT_EQ(offsets[c], HAK_BIN_OFFSET(c)) << c;
}

TEST(View, RootsFollowTheAllocator) {
  const auto roots = AllRoots();
  const auto pointer = [&](const char* name) { return *static_cast<void* const*>(roots.at(name).address); };
  hak_heap* heap = hak_heap_acquire(1 << 20);
  ASSERT_NE(heap, nullptr);
  EXPECT_EQ(pointer("first_heap"), heap);
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(5, &zeroed);
  ASSERT_NE(span, nullptr);
  const auto superslab = AllFields().at("superslab");
  const char* descriptor = static_cast<const char*>(pointer("first_superslabs"));
  EXPECT_EQ(static_cast<const void*>(descriptor + superslab.at("slabs").offset), span);
  EXPECT_EQ(*reinterpret_cast<char* const*>(descriptor + superslab.at("base").offset), span->base);
  hak_whale* whale = hak_whale_cache_acquire(4 << 20, 1 << 16, &zeroed);
  ASSERT_NE(whale, nullptr);
  const auto fields = AllFields();
  const char* live = static_cast<const char*>(roots.at("whales").address) + fields.at("whales").at("live").offset;
  EXPECT_EQ(*reinterpret_cast<hak_whale* const*>(live + fields.at("whale_list").at("newest").offset), whale);
  hak_whale_cache_release(whale, 0);
  hak_shared_pool_release_span(span);
  hak_heap_park(heap);
  EXPECT_EQ(pointer("first_parked_heap"), heap);
}

}  // namespace
