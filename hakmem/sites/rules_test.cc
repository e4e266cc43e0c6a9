#include "hakmem/sites/rules.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace {

struct Read {
  std::unique_ptr<std::string> text; /* where the rules point to */
  std::unique_ptr<hak_site_rules> rules = std::make_unique<hak_site_rules>();
  std::string complaints;
};

Read ReadText(const std::string& text, bool is_cut_off = false) {
  Read out;
  out.text = std::make_unique<std::string>(text);
  testing::internal::CaptureStderr();
  hak_site_rules_read(out.rules.get(), "/etc/rules", {out.text->data(), out.text->size()}, is_cut_off);
  out.complaints = testing::internal::GetCapturedStderr();
  return out;
}

std::string Text(hak_slice slice) { return std::string(slice.text, slice.length); }

TEST(Rules, EachFormOfALine) {
  const std::string text =
      "# what lives long\n"
      "long  redis-server+0x1f2e   # createObject\n"
      "\n"
      "\tlong /usr/lib/libfoo 2.so+0xABC\r\n"
      "short libbar.so!make_table\n"
      "usual _ZN3foo3barEv\n"
      "short a+b!f";
  const Read read = ReadText(text);
  const hak_site_rules& rules = *read.rules;
  EXPECT_EQ(read.complaints, "");
  ASSERT_EQ(rules.count, 5u);
  EXPECT_EQ(Text(rules.rows[0].module), "redis-server");
  EXPECT_EQ(rules.rows[0].offset, 0x1f2eu);
  EXPECT_EQ(rules.rows[0].line, 2u);
  EXPECT_EQ(Text(rules.rows[1].module), "/usr/lib/libfoo 2.so");
  EXPECT_EQ(rules.rows[1].offset, 0xabcu);
  EXPECT_EQ(rules.rows[1].class_number, rules.rows[0].class_number);
  EXPECT_EQ(Text(rules.rows[2].module), "libbar.so");
  EXPECT_EQ(Text(rules.rows[2].function), "make_table");
  EXPECT_EQ(Text(rules.rows[3].module), "");
  EXPECT_EQ(Text(rules.rows[3].function), "_ZN3foo3barEv");
  EXPECT_EQ(rules.rows[3].class_number, 0u) << "usual";
  EXPECT_EQ(Text(rules.rows[4].module), "a+b");
  EXPECT_EQ(rules.function_count, 3u);
  ASSERT_EQ(rules.class_count, 3u);
  EXPECT_EQ(Text(rules.classes[rules.rows[0].class_number]), "long");
  EXPECT_EQ(Text(rules.classes[rules.rows[2].class_number]), "short");
}

TEST(Rules, WhatIsWrongIsNamedOnceAndTheRestKept) {
  const struct {
    const char* line;
    const char* wrong;
  } kCases[] = {
      {"long", "no call site behind the class"},
      {"long # x!y", "no call site behind the class"},
      {"l/g a!b", "the class is not a word of up to 16 letters, digits, - and _"},
      {"seventeen-letters f", "the class is not a word of up to 16 letters, digits, - and _"},
      {"long a+0x", "the offset is not a number in hexadecimal, as 0x1f2e"},
      {"long a+0x12g", "the offset is not a number in hexadecimal, as 0x1f2e"},
      {"long a+0x1234567890abcdef0", "the offset is not a number in hexadecimal, as 0x1f2e"},
      {"long +0x12", "no module before the offset"},
      {"long !f", "no module before the function"},
      {"long a!", "no function behind the module"},
      {"long a+12", "neither MODULE+0xOFFSET nor a function as a symbol table names it"},
      {"long two words", "neither MODULE+0xOFFSET nor a function as a symbol table names it"},
  };
  for (const auto& one : kCases) {
    const std::string shown = std::string(one.line).substr(0, std::string(one.line).find(" #"));
    const Read read = ReadText("long before\n" + std::string(one.line) + "\nlong after\n");
    EXPECT_EQ(read.complaints, "hakmem: /etc/rules:2: ignored " + shown + ": " + one.wrong + "\n") << one.line;
    ASSERT_EQ(read.rules->count, 2u) << one.line;
    EXPECT_EQ(Text(read.rules->rows[1].function), "after");
    EXPECT_EQ(read.rules->class_count, 2u) << "a line that is ignored makes no class";
  }
}

TEST(Rules, NoMoreClassesAndRulesThanThereIsRoomFor) {
  std::string text;
  for (char c = 'a'; c < 'a' + HAK_SITE_CLASSES_MAX + 1; c++) text += std::string(1, c) + " f\n";
  const Read classes = ReadText(text);
  EXPECT_EQ(classes.rules->count, static_cast<uint32_t>(HAK_SITE_CLASSES_MAX));
  EXPECT_EQ(classes.complaints, "hakmem: /etc/rules:9: ignored i f: more than 8 classes\n");
  text.clear();
  for (int i = 0; i < HAK_SITE_RULES_MAX + 1; i++) text += "long f\n";
  const Read rules = ReadText(text);
  EXPECT_EQ(rules.rules->count, static_cast<uint32_t>(HAK_SITE_RULES_MAX));
  EXPECT_EQ(rules.complaints, "hakmem: /etc/rules:1025: ignored long f: more than 1024 rules\n");
}

TEST(Rules, AFileThatIsCutOffLosesItsLastLine) {
  const Read read = ReadText("long f\nlong ab", true);
  EXPECT_EQ(read.rules->count, 1u);
  EXPECT_EQ(read.complaints, "hakmem: /etc/rules: ignored what comes after 7 bytes\n");
}

TEST(Rules, Modules) {
  const auto is_module = [](const std::string& module, const char* path) {
    return hak_site_rules_is_module({module.data(), module.size()}, path);
  };
  EXPECT_TRUE(is_module("", "/usr/bin/x"));
  EXPECT_TRUE(is_module("x", "/usr/bin/x"));
  EXPECT_TRUE(is_module("/usr/bin/x", "/usr/bin/x"));
  EXPECT_FALSE(is_module("bin/x", "/usr/bin/x"));
  EXPECT_FALSE(is_module("x", "/usr/bin/xy"));
  EXPECT_FALSE(is_module("xy", "/usr/bin/x"));
  EXPECT_FALSE(is_module("x", "/usr/bin/x (deleted)"));
}

}  // namespace
