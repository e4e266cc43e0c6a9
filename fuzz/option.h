/* The allocator's options of one input. */
#ifndef FUZZ_OPTION_H_
#define FUZZ_OPTION_H_

#include <string>

#include "hakmem/config/config.h"

namespace fuzz {

/** All options as they are by default, but for this entry of an environment. */
inline void LoadOption(std::string entry) {
  char* environment[] = {entry.data(), nullptr};
  hak_config_reset_for_test();
  hak_config_load_as(environment, false);
}

}  // namespace fuzz

#endif  // FUZZ_OPTION_H_
