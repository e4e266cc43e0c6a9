/* Lists of options: the program's, the file, HAKMEM_CONF and a variable, of any bytes, against a second reading of
 * hakmem.conf(5): each value in force, where it came from, and each word on stderr. */
#include <sys/mman.h>
#include <unistd.h>

#include <iterator>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/options_model.h"
#include "fuzz/stderr_capture.h"
#include "hakmem/config/config.h"

namespace {

/* A file in memory that can be opened by name. */
class File {
 public:
  File() : file_(memfd_create("hakmem.conf", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(file_)) {
    FUZZ_CHECK(file_ >= 0);
  }

  const char* Fill(const std::string& text) {
    FUZZ_CHECK(ftruncate(file_, 0) == 0);
    FUZZ_CHECK(pwrite(file_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return path_.c_str();
  }

 private:
  const int file_;
  const std::string path_;
};

std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
  return text;
}

/* Items of parts that matter, with any bytes in between. The first byte says how many parts. */
std::string TakeList(fuzz::Input& input) {
  static const char* const kParts[] = {":", ",", "\n", "#", " ", "abort", "warn", "1", "true", "18446744073709551616",
                                       "k"};
  std::string list;
  for (uint8_t parts = input.TakeByte() % 64; parts != 0 && !input.IsUsedUp(); parts--) {
    const uint8_t shape = input.TakeByte();
    if (shape < 64) {
      list += Lower(fuzz::Rules()[shape % fuzz::Rules().size()].name) + ":";
    } else if (shape < 160) {
      list += kParts[shape % std::size(kParts)];
    } else if (shape < 224) {
      list += std::to_string(input.TakeNumber(1 + shape % 4));
    } else {
      list += input.TakeText();
    }
  }
  return list;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  static fuzz::StderrCapture capture;
  static File file;
  fuzz::Input input(data, size_bytes);
  const uint8_t shape = input.TakeByte();
  const bool is_secure = (shape & 1) != 0;
  const std::string linked = std::string(TakeList(input).c_str());
  const std::string text = TakeList(input);
  std::string list = std::string(("HAKMEM_CONF=" + TakeList(input)).c_str());
  std::string variable = std::string(("HAKMEM_DECAY_MS=" + input.TakeText()).c_str());
  char* environment[] = {variable.data(), list.data(), nullptr};
  const hak_config_origin origin = {(shape & 2) != 0 ? linked.c_str() : nullptr,
                                    (shape & 4) != 0 ? file.Fill(text) : nullptr, environment, is_secure};

  hak_config_reset_for_test();
  fuzz::OptionsModel expected;
  if (origin.linked != nullptr) expected.ApplyList(linked, HAK_CONFIG_LINKED);
  if (origin.file_path != nullptr) expected.ApplyList(text, HAK_CONFIG_FILE);
  if (!is_secure) expected.ApplyEnvironment({variable, list});
  capture.Begin();
  const bool is_loaded = hak_config_load_from(&origin);
  const std::string complaints = capture.End();
  FUZZ_CHECK(is_loaded);
  FUZZ_CHECK(complaints == expected.complaints());
  expected.CheckInForce();
  return 0;
}
