/* Every entry point, in any order, with any sizes and alignments, by one thread, against the reference model. An operation
 * is one byte for what, then its operands. */
#include "fuzz/call_sequence.h"
#include "fuzz/input.h"
#include <hakmem/hakmem.h>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  fuzz::Input input(data, size_bytes);
  fuzz::CallSequence calls(&input);
  while (!input.IsUsedUp()) calls.Act(input.TakeByte() % fuzz::CallSequence::kKinds);
  calls.FreeAll();
  hak_trim(); /* the next input of this process finds as little of this one as can be */
  return 0;
}
