/* A file of site rules, of any bytes: each line is kept, empty, or named once; what is kept reads the same again. */
#include <memory>
#include <string>

#include "fuzz/input.h"
#include "fuzz/stderr_capture.h"
#include "hakmem/sites/rules.h"

namespace {

std::string Text(hak_slice slice) { return std::string(slice.text, slice.length); }

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Lines that say something: not empty but for blanks and a comment. A second reading of rules.h. */
size_t CountLines(const std::string& text) {
  size_t count = 0;
  bool says = false;
  bool is_comment = false;
  for (size_t i = 0; i <= text.size(); i++) {
    if (i == text.size() || text[i] == '\n') {
      count += says;
      says = is_comment = false;
    } else if (text[i] == '#' && (i == 0 || text[i - 1] == '\n' || IsBlank(text[i - 1]))) {
      is_comment = true;
    } else if (!is_comment && !IsBlank(text[i])) {
      says = true;
    }
  }
  return count;
}

size_t CountComplaints(const std::string& said) {
  size_t count = 0;
  for (size_t at = said.find("hakmem: "); at != std::string::npos; at = said.find("\nhakmem: ", at + 1)) count++;
  return count;
}

std::string Written(const hak_site_rules& rules) {
  std::string out;
  for (uint32_t i = 0; i < rules.count; i++) {
    const hak_site_rule& rule = rules.rows[i];
    out += Text(rules.classes[rule.class_number]) + " " + Text(rule.module);
    char offset[32];
    snprintf(offset, sizeof offset, "+0x%llx", static_cast<unsigned long long>(rule.offset));
    out += rule.function.length == 0 ? offset : (rule.module.length == 0 ? "" : "!") + Text(rule.function);
    out += "\n";
  }
  return out;
}

bool LiesIn(hak_slice slice, const std::string& text) {
  return slice.length == 0 || (slice.text >= text.data() && slice.text + slice.length <= text.data() + text.size());
}

void Check(const hak_site_rules& rules, const std::string& text) {
  FUZZ_CHECK(rules.count <= HAK_SITE_RULES_MAX);
  FUZZ_CHECK(rules.class_count >= 1 && rules.class_count <= HAK_SITE_CLASSES_MAX + 1);
  uint32_t functions = 0;
  for (uint32_t i = 0; i < rules.count; i++) {
    const hak_site_rule& rule = rules.rows[i];
    FUZZ_CHECK(rule.class_number < rules.class_count);
    FUZZ_CHECK(LiesIn(rule.module, text) && LiesIn(rule.function, text));
    FUZZ_CHECK(rule.function.length != 0 || rule.module.length != 0);
    FUZZ_CHECK(i == 0 || rule.line > rules.rows[i - 1].line);
    functions += rule.function.length != 0;
  }
  FUZZ_CHECK(functions == rules.function_count);
  for (uint32_t i = 1; i < rules.class_count; i++) {
    FUZZ_CHECK(rules.classes[i].length != 0 && rules.classes[i].length <= HAK_SITE_CLASS_BYTES_MAX);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  static fuzz::StderrCapture capture;
  static auto rules = std::make_unique<hak_site_rules>();
  static auto again = std::make_unique<hak_site_rules>();
  const std::string text(reinterpret_cast<const char*>(data), size_bytes);
  capture.Begin();
  hak_site_rules_read(rules.get(), "rules", {text.data(), text.size()}, false);
  const std::string said = capture.End();
  Check(*rules, text);
  FUZZ_CHECK(rules->count + CountComplaints(said) == CountLines(text));

  const std::string written = Written(*rules);
  capture.Begin();
  hak_site_rules_read(again.get(), "again", {written.data(), written.size()}, false);
  FUZZ_CHECK(capture.End().empty());
  FUZZ_CHECK(Written(*again) == written);

  capture.Begin();
  hak_site_rules_read(again.get(), "cut off", {text.data(), text.size()}, true);
  capture.End();
  Check(*again, text);
  FUZZ_CHECK(again->count <= rules->count);
  return 0;
}
