/* Places in the source that do something atomic, and what they call. C and C++. */
#ifndef HAKMEM_TESTING_SCHEDULES_SITE_H_
#define HAKMEM_TESTING_SCHEDULES_SITE_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

typedef enum hak_scheduled_op {
  HAK_SCHEDULED_LOAD,
  HAK_SCHEDULED_STORE,
  HAK_SCHEDULED_EXCHANGE,
  HAK_SCHEDULED_FETCH_OR,
  HAK_SCHEDULED_FETCH_AND,
  HAK_SCHEDULED_FETCH_ADD,
  HAK_SCHEDULED_FETCH_SUB,
  HAK_SCHEDULED_CAS,
  /** No memory access: waits until a word has another value than the one read last. */
  HAK_SCHEDULED_AWAIT,
  /** Waits in the kernel. */
  HAK_SCHEDULED_SLEEP,
  /** Wakes one sleeper. */
  HAK_SCHEDULED_WAKE
} hak_scheduled_op;

typedef enum hak_scheduled_order {
  HAK_ORDER_RELAXED,
  HAK_ORDER_ACQUIRE,
  HAK_ORDER_RELEASE,
  HAK_ORDER_ACQ_REL,
  HAK_ORDER_SEQ
} hak_scheduled_order;

typedef struct __attribute__((aligned(64))) hak_scheduled_site {
  const char* file;
  const char* function;
  const char* argument; /* the expression for the atomic, as written */
  int line;
  int op;          /* hak_scheduled_op */
  int order;       /* hak_scheduled_order in force; weakened by tests */
  int given_order; /* as written */
  uint32_t seen;   /* bit 0: an explored run came by here; bit 1: a figure that orders nothing */
} hak_scheduled_site;

uint64_t hak_scheduled_load(const void* address, uint32_t bytes, hak_scheduled_site* site);
void hak_scheduled_store(void* address, uint32_t bytes, uint64_t value, hak_scheduled_site* site);
/** Exchange and the fetch_ functions, by the site's op. Returns the old value. */
uint64_t hak_scheduled_modify(void* address, uint32_t bytes, uint64_t operand, hak_scheduled_site* site);
bool hak_scheduled_cas(void* address, uint32_t bytes, uint64_t* expected, uint64_t desired, hak_scheduled_site* site);
/** One turn of a spin loop that waits for the word that this thread read last. */
void hak_scheduled_relax(void);
/** futex(2): sleeps while the newest value is `expected`; wakes one sleeper. */
void hak_scheduled_sleep(const void* address, uint32_t expected);
void hak_scheduled_wake(const void* address);
/** Ends the run that is under way as a failure. Does not return when called by an explored thread. */
void hak_scheduled_fail(const char* what);

HAK_END_DECLS

#endif /* HAKMEM_TESTING_SCHEDULES_SITE_H_ */
