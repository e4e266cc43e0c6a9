/* Purpose: words by which somebody outside the process switches things on and off in it.
 * Owns: the control words.
 * Invariants:
 *   1. All zero until somebody writes to them; zero means off. hakmem/view names them.
 * Threads: any; written from outside with process_vm_writev(2), 8 bytes at a time, aligned.
 * Ordering: none. A word is a wish, which slow paths see sooner or later.
 * Cost: a load, in slow paths only.  Fails: never.  Fork: inherited. */
#ifndef HAKMEM_BASE_CONTROL_H_
#define HAKMEM_BASE_CONTROL_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"

/** WORD(name), each an hak_atomic_u64 of hak_control_words. A new one needs its line here and nothing else to be seen and
 *  set from outside. */
#define HAK_CONTROL_WORDS(WORD)                                                                  \
  /* What threads do besides (hakmem/instrument): a mode, and HAK_INSTRUMENT_LOOK with it. */    \
  WORD(instrument)                                                                               \
  /* Mean distance in bytes between two samples of the heap profile; 0: as the option has it. */ \
  WORD(profile_interval_bytes)

HAK_BEGIN_DECLS

#define HAK_CONTROL_DECLARE_(name) hak_atomic_u64 name;
typedef struct hak_control {
  HAK_CONTROL_WORDS(HAK_CONTROL_DECLARE_)
} hak_control;
#undef HAK_CONTROL_DECLARE_

extern hak_control hak_control_words;

HAK_END_DECLS

#endif /* HAKMEM_BASE_CONTROL_H_ */
