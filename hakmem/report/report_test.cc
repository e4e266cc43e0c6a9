#include "hakmem/report/report.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/config/test_config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/profile/profile.h"
#include "hakmem/purge/purge.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/warm_pool/warm_pool.h"
#include "hakmem/whale_cache/whale_cache.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kMiB = 1 << 20;

std::string SizeText(uint64_t bytes) {
  hak_print line;
  hak_print_init(&line);
  hak_print_size(&line, bytes);
  return line.text;
}

// What `write` writes to the file descriptor that it is given.
template <typename Write>
std::string Written(Write write) {
  const int fd = memfd_create("report", 0);
  EXPECT_GE(fd, 0);
  write(fd);
  std::string text(static_cast<size_t>(lseek(fd, 0, SEEK_END)), 0);
  EXPECT_EQ(pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  close(fd);
  return text;
}

std::string Xml() {
  std::string text;
  hak_report_xml([](void* context, const char* piece) { *static_cast<std::string*>(context) += piece; }, &text);
  return text;
}

// Two slabs, a span and a whale, whatever else a test allocates.
class Report : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    ResetConfig();
    hak_purge_all();
    before_ = hak_report_read_figures();
    heap_ = hak_heap_acquire(kMiB);
    ASSERT_NE(heap_, nullptr);
  }

  void TearDown() override {
    hak_os_fake_reset();
    hak_config_reset_for_test();
    for (hak_bin* bin : bins_) {
      hak_warm_pool_give_run(heap_, bin);
      hak_warm_pool_trim(heap_, bin);
    }
    hak_heap_park(heap_);
    hak_purge_all();
    EXPECT_EQ(hak_report_read_figures().live_bytes, 0u);
    EXPECT_EQ(hak_report_read_figures().mapped_bytes, 0u);
  }

  // Takes a run of the class out of its slab; returns the bytes that have left the slab by it.
  uint64_t TakeRun(uint32_t size_class) {
    hak_bin* bin = hak_heap_bin(heap_, size_class);
    bin->size_class = static_cast<uint8_t>(size_class);
    bin->stride = hak_size_class_table[size_class].block_bytes;
    EXPECT_TRUE(hak_warm_pool_refill_run(heap_, bin));
    bins_.push_back(bin);
    return static_cast<uint64_t>(__builtin_popcountll(bin->run_mask)) * bin->stride;
  }

  hak_report_figures before_;
  hak_heap* heap_ = nullptr;
  std::vector<hak_bin*> bins_;
};

// --- figures ---

TEST_F(Report, SlabsAreCounted) {
  const uint64_t bytes = TakeRun(hak_size_class_of(64)) + TakeRun(hak_size_class_of(4096));
  EXPECT_EQ(bytes, 64u * 64 + 16u * 4096);
  const hak_report_figures now = hak_report_read_figures();
  EXPECT_EQ(now.live_bytes, bytes);
  EXPECT_EQ(now.live_whales, 0u);
  EXPECT_EQ(now.mapped_bytes, 2 * kMiB);
  EXPECT_EQ(now.releasable_bytes, 0u); /* its free units were never touched */
}

TEST_F(Report, ReleasedMemoryIsReleasable) {
  TakeRun(hak_size_class_of(64));
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(5, &zeroed);
  ASSERT_NE(span, nullptr);
  EXPECT_EQ(hak_report_read_figures().live_bytes, 64u * 64 + 5 * HAK_UNIT_BYTES);
  hak_shared_pool_release_span(span);
  EXPECT_EQ(hak_report_read_figures().live_bytes, 64u * 64);
  EXPECT_EQ(hak_report_read_figures().releasable_bytes, 5u * HAK_UNIT_BYTES);
  EXPECT_EQ(hak_purge_all(), 5u * HAK_UNIT_BYTES);
  EXPECT_EQ(hak_report_read_figures().releasable_bytes, 0u);
  EXPECT_EQ(hak_report_read_figures().mapped_bytes, 2 * kMiB);
}

TEST_F(Report, AnEmptySuperSlabIsReleasable) {
  bool zeroed;
  hak_shared_pool_release_span(hak_shared_pool_acquire_span(31, &zeroed));
  hak_report_figures now = hak_report_read_figures();
  EXPECT_EQ(now.live_bytes, 0u);
  EXPECT_EQ(now.mapped_bytes, 2 * kMiB);
  EXPECT_EQ(now.releasable_bytes, 2 * kMiB);
  EXPECT_EQ(hak_purge_all(), 2 * kMiB);
  now = hak_report_read_figures();
  EXPECT_EQ(now.mapped_bytes, 0u);
  EXPECT_EQ(now.releasable_bytes, 0u);
}

TEST_F(Report, WhalesAreCountedLiveAndCached) {
  bool zeroed;
  hak_whale* whale = hak_whale_cache_acquire(3 * kMiB, HAK_UNIT_BYTES, &zeroed);
  ASSERT_NE(whale, nullptr);
  hak_report_figures now = hak_report_read_figures();
  EXPECT_EQ(now.live_whales, 1u);
  EXPECT_EQ(now.live_whale_bytes, 3 * kMiB);
  EXPECT_EQ(now.live_bytes, 3 * kMiB);
  EXPECT_EQ(now.mapped_bytes, 3 * kMiB);
  EXPECT_EQ(now.releasable_bytes, 0u);
  hak_whale_cache_release(whale, 1);
  now = hak_report_read_figures();
  EXPECT_EQ(now.live_whales, 0u);
  EXPECT_EQ(now.live_bytes, 0u);
  EXPECT_EQ(now.mapped_bytes, 3 * kMiB);
  EXPECT_EQ(now.releasable_bytes, 3 * kMiB);
}

TEST_F(Report, HeapsAreCounted) {
  EXPECT_EQ(hak_report_read_figures().heaps, std::max<uint64_t>(before_.heaps, 1));
  hak_heap* second = hak_heap_acquire(kMiB);
  hak_heap* third = hak_heap_acquire(kMiB);
  const hak_report_figures now = hak_report_read_figures();
  hak_heap_park(second);
  hak_heap_park(third);
  EXPECT_EQ(hak_report_read_figures().parked_heaps, now.parked_heaps + 2);
  EXPECT_EQ(hak_report_read_figures().heaps, now.heaps);
  EXPECT_GE(now.heaps, 3u);
  EXPECT_GE(hak_report_read_figures().metadata_bytes, now.heaps * sizeof(hak_heap));
}

// Every byte that the kernel gave is accounted for: blocks, registry leaves, and chunks of metadata with their guards.
TEST_F(Report, MappedBytesAgreeWithTheKernels) {
  TakeRun(hak_size_class_of(64));
  bool zeroed;
  hak_whale* whale = hak_whale_cache_acquire(5 * kMiB, HAK_UNIT_BYTES, &zeroed);
  hak_whale* cached = hak_whale_cache_acquire(3 * kMiB, HAK_UNIT_BYTES, &zeroed);
  hak_whale_cache_release(cached, 1);
  const hak_report_figures now = hak_report_read_figures();
  const uint64_t kernel_bytes = hak_os_fake_mapped_bytes();
  EXPECT_EQ(hak_os_read_counters().mapped_bytes, kernel_bytes);
  ASSERT_GE(kernel_bytes, now.mapped_bytes + hak_registry_leaf_bytes());
  const uint64_t rest = kernel_bytes - now.mapped_bytes - hak_registry_leaf_bytes();
  const uint64_t chunk_bytes = kMiB + 2 * hak_os_page_bytes();
  EXPECT_EQ(rest % chunk_bytes, 0u);
  EXPECT_GE(rest, now.metadata_bytes - hak_registry_leaf_bytes());
  EXPECT_LE(rest, now.metadata_bytes - hak_registry_leaf_bytes() + 2 * chunk_bytes);
  hak_whale_cache_release(whale, 1);
}

// Each slab or span was counted in just one stage, and none that there was no memory for.
TEST_F(Report, StagesAddUpToWhatWasAcquired) {
  const auto stages = [] {
    const hak_shared_pool_figures pool = hak_shared_pool_read_figures();
    return pool.from_orphan + pool.from_units + pool.from_empty + pool.from_new;
  };
  const uint64_t first = stages();
  bool zeroed;
  std::vector<hak_slab*> spans;
  for (const uint32_t units : {31, 5, 5, 20, 31}) spans.push_back(hak_shared_pool_acquire_span(units, &zeroed));
  EXPECT_EQ(stages(), first + 5);
  hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
  EXPECT_EQ(hak_shared_pool_acquire_span(31, &zeroed), nullptr);
  EXPECT_EQ(stages(), first + 5);
  hak_os_fake_reset();
  EXPECT_EQ(hak_shared_pool_read_figures().live_spans, 5u);
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
  EXPECT_EQ(hak_shared_pool_read_figures().live_spans, 0u);
}

// --- text ---

TEST_F(Report, SummaryShowsTheFigures) {
  TakeRun(hak_size_class_of(64));
  TakeRun(hak_size_class_of(16));
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(7, &zeroed);
  hak_whale* whale = hak_whale_cache_acquire(5 * kMiB, HAK_UNIT_BYTES, &zeroed);
  const hak_report_figures now = hak_report_read_figures();
  const hak_os_counters os = hak_os_read_counters();
  const std::string text = Written(hak_report_summary);
  for (const std::string& line :
       {"hakmem " + std::string(HAK_VERSION_TEXT), "  mapped for blocks  " + SizeText(7 * kMiB),
        "    live             " + SizeText(7 * HAK_UNIT_BYTES + 5 * kMiB),
        "    cached           " + SizeText(64 * 64 + 64 * 16), "  releasable         " + SizeText(now.releasable_bytes),
        "  not asked for      " + SizeText(2 * (HAK_UNIT_BYTES - 1)) + " of what is live, at most",
        "  metadata           " + SizeText(now.metadata_bytes) + " (address space; touched in part)",
        std::string("  class     slabs            live     cached       free    refills     spills"),
        std::string("     16         1               0         64       4032          0          0"),
        std::string("     64         1               0         64        960          0          0"),
        "  heaps: all " + std::to_string(now.heaps) + ", parked " + std::to_string(now.parked_heaps),
        std::string("  superslabs: mapped 1, empty 0, spans live 1"),
        "  system calls: map " + std::to_string(os.map_calls) + ", unmap " + std::to_string(os.unmap_calls) +
            ", purge " + std::to_string(os.purge_calls) + ", move " + std::to_string(os.move_calls) + ", advise " +
            std::to_string(os.advise_calls) + ", protect " + std::to_string(os.protect_calls),
        "  misuse reported: " + std::to_string(hak_misuse_count())}) {
    EXPECT_NE(("\n" + text).find("\n" + line + "\n"), std::string::npos) << line << "\nis not in\n" << text;
  }
  EXPECT_NE(text.find("  whales: live 1, cached 0, "), std::string::npos) << text;
  EXPECT_EQ(text.find("\n     32 "), std::string::npos) << "a class without slabs has no line";
  hak_shared_pool_release_span(span);
  hak_whale_cache_release(whale, 1);
}

TEST_F(Report, SummaryCountsMisuse) {
  hak_set_error_action(HAK_ERROR_IGNORE);
  hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, this, 64);
  hak_set_error_action(HAK_ERROR_ABORT);
  const std::string text = Written(hak_report_summary);
  const std::string kinds = "  misuse: double frees " + std::to_string(hak_misuse_count_of(HAK_MISUSE_DOUBLE_FREE)) +
                            ", interior pointers 0, foreign pointers 0, wrong sizes 0\n";
  const std::string last = "  misuse reported: " + std::to_string(hak_misuse_count()) + "\n";
  EXPECT_NE(text.find(kinds + last), std::string::npos) << text;
  EXPECT_GE(hak_misuse_count(), 1u);
}

TEST_F(Report, HelloIsOneLineWithEveryOption) {
  const std::string text = Written(hak_report_hello);
  EXPECT_EQ(text.find("hakmem " HAK_VERSION_TEXT " active:"), 0u);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(text.back(), '\n');
  for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
    const auto option = static_cast<hak_option>(i);
    hak_print value;
    hak_print_init(&value);
    hak_config_print_value(&value, option);
    const bool is_set = hak_config_source_of(option) != HAK_CONFIG_DEFAULT;
    const std::string mark =
        is_set ? std::string(" (") + hak_config_source_name(hak_config_source_of(option)) + ")" : "";
    const char next = i + 1 < HAK_OPTION_COUNT ? ' ' : '\n';
    const std::string pair = std::string(" ") + hak_config_name(option) + "=" + value.text + mark + next;
    EXPECT_NE(text.find(pair), std::string::npos) << pair;
  }
}

TEST_F(Report, HelloHasRoomForTheLongestText) {
  ASSERT_EQ(hak_config_set("stats_file", std::string(255, 'x').c_str()), 0);
  const std::string text = Written(hak_report_hello);
  EXPECT_NE(text.find(" STATS_FILE=" + std::string(255, 'x') + " (hak_option_set) "), std::string::npos);
  EXPECT_NE(text.find(" VERBOSE=0"), std::string::npos);
}

TEST_F(Report, HelloSpellsWordsAsTheEnvironmentDoes) {
  EXPECT_NE(Written(hak_report_hello).find(" ON_ERROR=abort "), std::string::npos);
}

TEST_F(Report, NothingIsAllocatedAndErrnoIsKept) {
  TakeRun(hak_size_class_of(64));
  std::string xml;
  xml.reserve(10000);
  const uint64_t calls = hak_os_read_counters().map_calls;
  errno = 1234;
  Written(hak_report_summary);
  Written(hak_report_hello);
  hak_report_xml([](void* context, const char* piece) { *static_cast<std::string*>(context) += piece; }, &xml);
  EXPECT_EQ(errno, 1234);
  EXPECT_EQ(hak_os_read_counters().map_calls, calls);
}

// --- everything ---

TEST_F(Report, WhatIsMappedIsAllThere) {
  TakeRun(hak_size_class_of(64));
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(7, &zeroed);
  hak_whale* whale = hak_whale_cache_acquire(5 * kMiB, HAK_UNIT_BYTES, &zeroed);
  hak_stats now;
  hak_report_read_stats(&now);
  EXPECT_EQ(now.version, HAK_STATS_VERSION);
  EXPECT_EQ(now.size_bytes, sizeof now);
  EXPECT_EQ(now.mapped_bytes, hak_report_read_figures().mapped_bytes);
  EXPECT_EQ(now.mapped_bytes, now.live_bytes + now.cached_bytes + now.slack_bytes + now.free_bytes);
  EXPECT_EQ(now.live_bytes, 7 * HAK_UNIT_BYTES + 5 * kMiB);
  EXPECT_EQ(now.cached_bytes, 64u * 64) << "the run";
  EXPECT_EQ(now.slack_bytes, HAK_UNIT_BYTES - 64u * 64);
  EXPECT_EQ(now.live_blocks, 2u);
  EXPECT_EQ(now.cached_blocks, 64u);
  EXPECT_EQ(now.returned_bytes, now.unmapped_bytes + now.purged_bytes);
  hak_shared_pool_release_span(span);
  hak_whale_cache_release(whale, 1);
}

// A block of the 64-byte class is asked for with at least 49 bytes, one of 64 KiB more with a byte of its last unit.
TEST_F(Report, RoundingIsBoundByTheClassesBelow) {
  const uint32_t c = hak_size_class_of(64);
  TakeRun(c);
  hak_bin* bin = hak_heap_bin(heap_, c);
  const uint64_t run_mask = bin->run_mask;
  bin->run_mask = 0; /* all go to the program */
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(7, &zeroed);
  hak_stats now;
  hak_report_read_stats(&now);
  EXPECT_EQ(now.rounding_max_bytes, 64u * 15 + HAK_UNIT_BYTES - 1);
  EXPECT_EQ(now.rounding_samples, 0u);
  EXPECT_EQ(now.rounding_bytes, 0u) << "nobody knows";
  hak_shared_pool_release_span(span);
  bin->run_mask = run_mask;
}

// Blocks for 40 KiB in units of 64 KiB, as samples of every malloc have it.
TEST_F(Report, RoundingIsEstimatedFromSamples) {
  hak_profile_set_hooks();
  hak_profile_begin(1);
  bool zeroed;
  hak_slab* span = hak_shared_pool_acquire_span(7, &zeroed);
  hak_slab* unseen = hak_shared_pool_acquire_span(7, &zeroed);
  (void)hak_instrument_on_malloc(hak_instrument_follow(), span->base, 6 * HAK_UNIT_BYTES + HAK_UNIT_BYTES / 2);
  hak_stats now;
  hak_report_read_stats(&now);
  EXPECT_EQ(now.rounding_samples, 1u);
  EXPECT_EQ(now.live_bytes, 14 * HAK_UNIT_BYTES);
  EXPECT_EQ(now.rounding_bytes, HAK_UNIT_BYTES) << "of both";
  const std::string text = Written(hak_report_summary);
  EXPECT_NE(text.find("    estimated        64.0 KiB by 1 samples\n"), std::string::npos) << text;
  hak_profile_forget_large(&span->sample);
  hak_instrument_reset_for_test();
  hak_shared_pool_release_span(span);
  hak_shared_pool_release_span(unseen);
}

TEST_F(Report, WhatIsTouchedIsResident) {
  bool zeroed;
  hak_whale* whale = hak_whale_cache_acquire(8 * kMiB, HAK_UNIT_BYTES, &zeroed);
  hak_stats before, now;
  hak_report_read_stats(&before);
  memset(whale->base, 1, 4 * kMiB);
  hak_report_read_stats(&now);
  EXPECT_EQ(now.resident_block_bytes, before.resident_block_bytes + 4 * kMiB);
  EXPECT_GE(now.rss_bytes, before.rss_bytes + 4 * kMiB - 64 * 1024);
  EXPECT_EQ(now.rss_bytes, now.resident_bytes + now.other_rss_bytes);
  EXPECT_GE(now.minor_faults, before.minor_faults);
  hak_whale_cache_release(whale, 1);
}

TEST_F(Report, AClassesBlocksAreLiveCachedOrFree) {
  const uint32_t c = hak_size_class_of(64);
  TakeRun(c);
  hak_bin* bin = hak_heap_bin(heap_, c);
  bin->run_mask &= bin->run_mask - 1; /* one goes to the program */
  hak_report_classes now;
  hak_report_read_classes(&now);
  EXPECT_EQ(now.of[c].block_bytes, 64u);
  EXPECT_EQ(now.of[c].slabs, 1u);
  EXPECT_EQ(now.of[c].live, 1u);
  EXPECT_EQ(now.of[c].cached, 63u);
  EXPECT_EQ(now.of[c].free, hak_size_class_table[c].blocks - 64u);
  bin->run_mask |= bin->run_mask >> 1; /* back: it was the lowest */
}

TEST_F(Report, ThreadsAndLocksEnd) {
  hak_report_thread one;
  uint64_t count = 0;
  while (hak_report_read_thread(count, &one)) count++;
  EXPECT_EQ(count, hak_report_read_figures().heaps);
  ASSERT_TRUE(hak_report_read_thread(count - 1, &one));
  hak_report_lock lock;
  std::string names;
  for (uint32_t i = 0; hak_report_read_lock(i, &lock); i++) names += std::string(lock.name) + " ";
  EXPECT_EQ(names, "common parked pool whales metadata ");
}

TEST(ReportFields, EachHasANameOfItsOwnAndItsPlace) {
  const auto check = [](const hak_report_field* fields, uint32_t count, size_t first) {
    std::string names = " ";
    for (uint32_t i = 0; i < count; i++) {
      EXPECT_EQ(fields[i].offset, first + i * sizeof(uint64_t)) << fields[i].name;
      EXPECT_EQ(names.find(std::string(" ") + fields[i].name + " "), std::string::npos) << fields[i].name;
      EXPECT_NE(fields[i].help[0], 0) << fields[i].name;
      names += std::string(fields[i].name) + " ";
    }
  };
  check(hak_report_stats_fields, HAK_REPORT_STATS_FIELDS, 2 * sizeof(uint64_t));
  check(hak_report_class_fields, HAK_REPORT_CLASS_FIELDS, sizeof(uint64_t));
  check(hak_report_thread_fields, HAK_REPORT_THREAD_FIELDS, 0);
}

// --- xml ---

// Value of attribute `name` in the tag that begins at `at`.
uint64_t Attribute(const std::string& xml, size_t at, const std::string& name) {
  const std::string tag = xml.substr(at, xml.find('>', at) - at);
  const size_t start = tag.find(" " + name + "=\"");
  EXPECT_NE(start, std::string::npos) << name << " in " << tag;
  return start == std::string::npos ? 0 : std::stoull(tag.substr(start + name.size() + 3));
}

// True when every tag is closed in turn, and every attribute quoted.
bool IsWellFormed(const std::string& xml) {
  std::vector<std::string> open;
  size_t roots = 0;
  for (size_t at = xml.find('<'); at != std::string::npos; at = xml.find('<', at + 1)) {
    const size_t end = xml.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (tag.empty() || tag.find('<') != std::string::npos) return false;
    if (std::count(tag.begin(), tag.end(), '"') != 2 * std::count(tag.begin(), tag.end(), '=')) return false;
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else {
      roots += open.empty();
      if (tag.back() != '/') open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  return open.empty() && roots == 1;
}

TEST(ReportXml, TheCheckOfFormIsOne) {
  EXPECT_TRUE(IsWellFormed("<a x=\"1\">\n<b/><c></c></a>\n"));
  for (const char* bad : {"", "<a>", "</a>", "<a></b>", "<a x=1/>", "<a><b></a></b>", "<a/><b/>", "<a x=\"1/>", "<a"}) {
    EXPECT_FALSE(IsWellFormed(bad)) << bad;
  }
}

TEST_F(Report, XmlIsWellFormedAndInGlibcsShape) {
  TakeRun(hak_size_class_of(16));
  TakeRun(hak_size_class_of(64));
  const std::string xml = Xml();
  EXPECT_TRUE(IsWellFormed(xml)) << xml;
  EXPECT_EQ(xml.find("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n"), 0u);
  EXPECT_NE(xml.find("</heap>\n</malloc>\n"), std::string::npos);
}

TEST_F(Report, XmlAgreesWithTheFigures) {
  uint64_t slab_bytes = 0;
  for (const size_t bytes : {16, 64, 1280, 65536}) slab_bytes += TakeRun(hak_size_class_of(bytes));
  bool zeroed;
  hak_whale* whale = hak_whale_cache_acquire(5 * kMiB, HAK_UNIT_BYTES, &zeroed);
  const hak_report_figures now = hak_report_read_figures();
  const std::string xml = Xml();
  uint64_t total = 0;
  uint64_t last_to = 0;
  size_t rows = 0;
  for (size_t at = xml.find("<size "); at != std::string::npos; at = xml.find("<size ", at + 1)) {
    EXPECT_GT(Attribute(xml, at, "from"), last_to);
    last_to = Attribute(xml, at, "to");
    EXPECT_GE(last_to, Attribute(xml, at, "from"));
    EXPECT_EQ(Attribute(xml, at, "total"), Attribute(xml, at, "count") * last_to);
    EXPECT_EQ(hak_size_class_of(Attribute(xml, at, "from")), hak_size_class_of(last_to));
    total += Attribute(xml, at, "total");
    rows++;
  }
  EXPECT_EQ(rows, 4u);
  EXPECT_EQ(total, slab_bytes);
  EXPECT_EQ(total + now.live_whale_bytes, now.live_bytes);
  const size_t mmap_row = xml.find("<total type=\"mmap\"");
  EXPECT_EQ(Attribute(xml, mmap_row, "count"), 1u);
  EXPECT_EQ(Attribute(xml, mmap_row, "size"), 5 * kMiB);
  EXPECT_EQ(Attribute(xml, xml.find("<total type=\"rest\""), "size"), now.releasable_bytes);
  EXPECT_EQ(Attribute(xml, xml.find("<system type=\"current\""), "size"), now.mapped_bytes);
  hak_whale_cache_release(whale, 1);
}

}  // namespace
