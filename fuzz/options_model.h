/* A second reading of hakmem.conf(5): what a user's settings must lead to, down to the words on stderr. */
#ifndef FUZZ_OPTIONS_MODEL_H_
#define FUZZ_OPTIONS_MODEL_H_

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"

namespace fuzz {

enum class Kind { kNumber, kFlag, kWord, kText };

struct Rule {
  std::string name;
  Kind kind;
  uint64_t initial, min, max;
  std::vector<std::string> words;
};

inline std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/** In the order of hak_option. */
inline const std::vector<Rule>& Rules() {
  constexpr uint64_t KIB = 1024, MIB = 1024 * KIB, GIB = 1024 * MIB;
  static const std::vector<Rule> rules = {
#define HAK_NUMBER(name, unit, initial, min, max, when, meaning) {#name, Kind::kNumber, initial, min, max, {}},
#define HAK_FLAG(name, initial, when, meaning) {#name, Kind::kFlag, initial, 0, 1, {}},
#define HAK_WORD(name, words, when, meaning) \
  {#name, Kind::kWord, 0, 0, 0, Split(std::string(words, sizeof words - 1), '\0')},
#define HAK_TEXT(name, max, when, meaning) {#name, Kind::kText, 0, 0, max, {}},
#include "hakmem/config/options.h"
#undef HAK_NUMBER
#undef HAK_FLAG
#undef HAK_WORD
#undef HAK_TEXT
  };
  (void)GIB;
  return rules;
}

/** What loading must lead to. */
class OptionsModel {
 public:
  OptionsModel() : texts_(Rules().size()), sources_(Rules().size(), HAK_CONFIG_DEFAULT) {
    for (const Rule& rule : Rules()) values_.push_back(rule.initial);
  }

  void ApplyVariable(const std::string& entry) {
    const size_t equals = entry.find('=');
    if (!IsOurs(entry) || equals == std::string::npos) return;
    const std::string name = entry.substr(7, equals - 7);
    if (name != "CONF") Apply(name, "=", entry.substr(equals + 1), HAK_CONFIG_VARIABLE);
  }

  void ApplyListVariable(const std::string& entry) {
    if (entry.rfind("HAKMEM_CONF=", 0) == 0) ApplyList(entry.substr(12), HAK_CONFIG_LIST);
  }

  void ApplyEnvironment(const std::vector<std::string>& entries) {
    for (const std::string& entry : entries) ApplyListVariable(entry);
    for (const std::string& entry : entries) ApplyVariable(entry);
  }

  void ApplyList(const std::string& list, hak_config_source source) {
    for (std::string line : Split(list, '\n')) {
      for (size_t i = line.size(); i-- > 0;) {
        if (line[i] == '#' && (i == 0 || IsBlank(line[i - 1]))) line.resize(i);
      }
      for (const std::string& part : Split(line, ',')) {
        const std::string item = Trimmed(part);
        const size_t colon = item.find(':');
        if (item.empty()) continue;
        if (colon == std::string::npos) {
          complaints_ += "hakmem: ignored " + Shown(item, 40) + In(source) + ": not name:value\n";
        } else {
          Apply(Trimmed(item.substr(0, colon)), ":", Trimmed(item.substr(colon + 1)), source);
        }
      }
    }
  }

  const std::string& complaints() const { return complaints_; }

  void CheckInForce() const {
    for (uint32_t i = 0; i < HAK_OPTION_COUNT; i++) {
      const auto option = static_cast<hak_option>(i);
      const bool is_text = Rules()[i].kind == Kind::kText;
      FUZZ_CHECK(is_text || hak_config_get(option) == values_[i]);
      FUZZ_CHECK(!is_text || hak_config_text(option) == texts_[i]);
      FUZZ_CHECK(hak_config_source_of(option) == sources_[i]);
      FUZZ_CHECK(hak_config_name(option) == Rules()[i].name);
    }
    FUZZ_CHECK(hak_get_error_action() == static_cast<hak_error_action>(values_[HAK_OPTION_ON_ERROR]));
  }

 private:
  static bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

  static std::string Trimmed(std::string text) {
    while (!text.empty() && IsBlank(text.front())) text.erase(0, 1);
    while (!text.empty() && IsBlank(text.back())) text.pop_back();
    return text;
  }

  static bool IsOurs(const std::string& entry) {
    return entry.rfind("HAKMEM_", 0) == 0 && entry.rfind("HAKMEM_TEST_", 0) != 0 && entry.rfind("HAKMEM_TOOL_", 0) != 0;
  }

  static std::string Shown(std::string text, size_t most) {
    text.resize(std::min(text.size(), most));
    for (char& c : text) c = static_cast<unsigned char>(c) < ' ' || c == 0x7f ? '?' : c;
    return text;
  }

  static std::string In(hak_config_source source) {
    if (source == HAK_CONFIG_VARIABLE) return "";
    if (source == HAK_CONFIG_LINKED) return " in hak_conf";
    return source == HAK_CONFIG_FILE ? " in /etc/hakmem.conf" : " in HAKMEM_CONF";
  }

  /* Digits and at most one letter; too much is too much, however much. */
  static bool ReadNumber(std::string text, uint64_t min, uint64_t max, uint64_t* value) {
    int shift = 0;
    const size_t letter = text.empty() ? std::string::npos : std::string("kKmMgG").find(text.back());
    if (letter != std::string::npos) {
      shift = 10 * (static_cast<int>(letter) / 2 + 1);
      text.pop_back();
    }
    if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return false;
    text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
    if (text.size() > 20) return false;
    unsigned __int128 number = 0;
    for (const char digit : text) number = number * 10 + static_cast<unsigned>(digit - '0');
    number <<= shift;
    if (number < min || number > max) return false;
    *value = static_cast<uint64_t>(number);
    return true;
  }

  static std::string Reason(const Rule& rule) {
    switch (rule.kind) {
      case Kind::kFlag: return "not 0 or 1";
      case Kind::kText: return "not a text of at most " + std::to_string(rule.max) + " bytes";
      case Kind::kNumber: return "not a number from " + std::to_string(rule.min) + " to " + std::to_string(rule.max);
      case Kind::kWord: break;
    }
    std::string reason = "not one of";
    for (const std::string& word : rule.words) reason += (word == rule.words[0] ? " " : ", ") + word;
    return reason;
  }

  /* The empty string, or why not. */
  std::string Take(size_t i, const std::string& text) {
    const Rule& rule = Rules()[i];
    if (rule.kind == Kind::kNumber) return ReadNumber(text, rule.min, rule.max, &values_[i]) ? "" : Reason(rule);
    if (rule.kind == Kind::kText) {
      if (text.size() > rule.max || text.find('\0') != std::string::npos) return Reason(rule);
      if (!text.empty() && text != texts_[i]) {
        if (pool_bytes_ + text.size() + 1 > 16 * 1024) return "too many texts";
        pool_bytes_ += text.size() + 1;
      }
      texts_[i] = text;
      return "";
    }
    const std::vector<std::string> words =
        rule.kind == Kind::kWord ? rule.words : std::vector<std::string>{"0", "1", "false", "true"};
    const auto found = std::find(words.begin(), words.end(), text);
    if (found == words.end()) return Reason(rule);
    const auto index = static_cast<uint64_t>(found - words.begin());
    values_[i] = rule.kind == Kind::kWord ? index : index % 2;
    return "";
  }

  void Apply(const std::string& name, const char* between, const std::string& text, hak_config_source source) {
    std::string reason = "no such option";
    for (size_t i = 0; i < Rules().size(); i++) {
      std::string own = Rules()[i].name;
      if (source != HAK_CONFIG_VARIABLE) {
        for (char& c : own) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
      }
      if (own != name) continue;
      reason = Take(i, text);
      if (reason.empty()) sources_[i] = source;
    }
    if (reason.empty()) return;
    const std::string prefix = source == HAK_CONFIG_VARIABLE ? "HAKMEM_" : "";
    complaints_ +=
        "hakmem: ignored " + prefix + Shown(name, 40) + between + Shown(text, 80) + In(source) + ": " + reason + "\n";
  }

  std::vector<uint64_t> values_;
  std::vector<std::string> texts_;
  std::vector<hak_config_source> sources_;
  size_t pool_bytes_ = 0;
  std::string complaints_;
};

}  // namespace fuzz

#endif  // FUZZ_OPTIONS_MODEL_H_
