#include "hakmem/sites/rules.h"

#include <unistd.h>

#include "hakmem/base/print.h"

enum { SHOWN_BYTES = 80, PATH_SHOWN_BYTES = 200 };

static bool is_word_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_word(hak_slice word) {
  for (size_t i = 0; i < word.length; i++) {
    if (!is_word_letter(word.text[i])) return false;
  }
  return word.length != 0;
}

/* Where the last `wanted` stands, or the length. */
static size_t last_of(hak_slice slice, char wanted) {
  for (size_t i = slice.length; i != 0; i--) {
    if (slice.text[i - 1] == wanted) return i - 1;
  }
  return slice.length;
}

static hak_slice before(hak_slice slice, size_t at) { return (hak_slice){slice.text, at}; }

static hak_slice after(hak_slice slice, size_t at) { return (hak_slice){slice.text + at + 1, slice.length - at - 1}; }

static uint32_t digit_of(char c) {
  if (c >= '0' && c <= '9') return (uint32_t)(c - '0');
  const char lower = (char)(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? (uint32_t)(lower - 'a' + 10) : 16;
}

/* 0x and up to 15 digits. */
static bool parse_offset(hak_slice slice, uint64_t* out) {
  *out = 0;
  if (slice.length < 3 || slice.length > 17 || slice.text[0] != '0' || slice.text[1] != 'x') return false;
  for (size_t i = 2; i < slice.length; i++) {
    const uint32_t digit = digit_of(slice.text[i]);
    if (digit == 16) return false;
    *out = *out << 4 | digit;
  }
  return true;
}

/* As symbol tables have them, mangled. */
static bool is_function(hak_slice name) {
  for (size_t i = 0; i < name.length; i++) {
    const char c = name.text[i];
    if (!is_word_letter(c) && c != '.' && c != '$' && c != '@' && (unsigned char)c < 0x80) return false;
  }
  return true;
}

/* Where the calls are. NULL, or what is wrong. */
static const char* parse_site(hak_slice site, hak_site_rule* out) {
  if (site.length == 0) return "no call site behind the class";
  const size_t plus = last_of(site, '+');
  if (plus + 1 < site.length && site.text[plus + 1] == '0') {
    out->module = before(site, plus);
    if (out->module.length == 0) return "no module before the offset";
    return parse_offset(after(site, plus), &out->offset) ? NULL
                                                         : "the offset is not a number in hexadecimal, as 0x1f2e";
  }
  const size_t mark = last_of(site, '!');
  out->function = mark == site.length ? site : after(site, mark);
  if (mark < site.length) out->module = before(site, mark);
  if (mark == 0) return "no module before the function";
  if (out->function.length == 0) return "no function behind the module";
  return is_function(out->function) ? NULL : "neither MODULE+0xOFFSET nor a function as a symbol table names it";
}

static bool is_same(hak_slice a, hak_slice b) {
  if (a.length != b.length) return false;
  size_t i = 0;
  while (i < a.length && a.text[i] == b.text[i]) i++;
  return i == a.length;
}

/* The number of a class, new or known. NULL, or what is wrong. */
static const char* find_class(hak_site_rules* rules, hak_slice name, uint32_t* out) {
  if (!is_word(name) || name.length > HAK_SITE_CLASS_BYTES_MAX) {
    return "the class is not a word of up to 16 letters, digits, - and _";
  }
  uint32_t number = 0;
  while (number < rules->class_count && !is_same(rules->classes[number], name)) number++;
  if (number > HAK_SITE_CLASSES_MAX) return "more than 8 classes";
  if (number == rules->class_count) rules->classes[rules->class_count++] = name;
  *out = number;
  return NULL;
}

static const char* parse_rule(hak_site_rules* rules, hak_slice line, uint32_t number) {
  size_t blank = 0;
  while (blank < line.length && !hak_slice_is_blank(line.text[blank])) blank++;
  hak_site_rule rule = {.line = number};
  const hak_slice site = blank == line.length ? before(line, 0) : hak_slice_trimmed(after(line, blank));
  const char* wrong = parse_site(site, &rule);
  if (wrong == NULL && rules->count == HAK_SITE_RULES_MAX) wrong = "more than 1024 rules";
  if (wrong == NULL) wrong = find_class(rules, before(line, blank), &rule.class_number);
  if (wrong != NULL) return wrong;
  if (rule.function.length != 0) rules->function_count++;
  rules->rows[rules->count++] = rule;
  return NULL;
}

static void begin_complaint(hak_print* out, const char* path) {
  hak_print_init(out);
  hak_print_str(out, "hakmem: ");
  hak_print_slice(out, hak_slice_of(path), PATH_SHOWN_BYTES);
}

static void complain(const char* path, uint32_t number, hak_slice line, const char* wrong) {
  hak_print out;
  begin_complaint(&out, path);
  hak_print_str(&out, ":");
  hak_print_u64(&out, number);
  hak_print_str(&out, ": ignored ");
  hak_print_slice(&out, line, SHOWN_BYTES);
  hak_print_str(&out, ": ");
  hak_print_str(&out, wrong);
  hak_print_str(&out, "\n");
  hak_print_flush(&out, STDERR_FILENO);
}

static void complain_of_length(const char* path, size_t length) {
  hak_print out;
  begin_complaint(&out, path);
  hak_print_str(&out, ": ignored what comes after ");
  hak_print_u64(&out, length);
  hak_print_str(&out, " bytes\n");
  hak_print_flush(&out, STDERR_FILENO);
}

void hak_site_rules_read(hak_site_rules* out, const char* path, hak_slice text, bool is_cut_off) {
  out->count = out->function_count = 0;
  out->classes[0] = (hak_slice){"usual", 5};
  out->class_count = 1;
  if (is_cut_off) { /* the last line may be half of one, with another meaning */
    while (text.length != 0 && text.text[text.length - 1] != '\n') text.length--;
  }
  const size_t length = text.length;
  for (uint32_t number = 1; text.length != 0; number++) {
    const hak_slice line = hak_slice_trimmed(hak_slice_uncommented(hak_slice_cut(&text, '\n')));
    const char* wrong = line.length == 0 ? NULL : parse_rule(out, line, number);
    if (wrong != NULL) complain(path, number, line, wrong);
  }
  if (is_cut_off) complain_of_length(path, length);
}

bool hak_site_rules_is_module(hak_slice module, const char* path) {
  if (module.length == 0 || hak_slice_is_same(module, path)) return true;
  const char* name = path;
  for (const char* at = path; *at != 0; at++) {
    if (*at == '/') name = at + 1;
  }
  return hak_slice_is_same(module, name);
}
