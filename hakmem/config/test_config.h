// The options of tests that free memory: what is free stays until the clock says so, whatever the surplus is.
#ifndef HAKMEM_CONFIG_TEST_CONFIG_H_
#define HAKMEM_CONFIG_TEST_CONFIG_H_

#include <string>

#include "hakmem/config/config.h"

inline void KeepSurplus() { hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, 1ull << 40); }

// The defaults but for the surplus.
inline void ResetConfig() {
  hak_config_reset_for_test();
  KeepSurplus();
}

// The same, and what one entry of the environment says, "HAKMEM_NAME=value"; "" for nothing.
inline void LoadConfig(std::string entry) {
  ResetConfig();
  char* environment[] = {entry.data(), nullptr};
  hak_config_load_as(environment, false);
}

#endif  // HAKMEM_CONFIG_TEST_CONFIG_H_
