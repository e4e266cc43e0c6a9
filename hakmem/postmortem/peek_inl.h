/* Private to the post-mortem: memory that may not be there, and lines of text. */
#ifndef HAKMEM_POSTMORTEM_PEEK_INL_H_
#define HAKMEM_POSTMORTEM_PEEK_INL_H_

#include "hakmem/base/base.h"
#include "hakmem/base/print.h"

HAK_BEGIN_DECLS

/** Copies `size_bytes` from `address`, which may be any, to `out`. False: not all of it can be read. */
bool hak_peek(const void* address, void* out, size_t size_bytes);

/** As hak_peek, where process_vm_readv is refused, as in some containers. For tests by itself. */
bool hak_peek_by_probing(const void* address, void* out, size_t size_bytes);

/** Number of the thread with this thread pointer; 0: not known. */
uint32_t hak_peek_thread(const void* thread_pointer);

/** Appends "thread 12 (name)", without what is not known. */
void hak_peek_print_thread(hak_print* out, uint32_t thread);

/** Appends "0x... (/path/of/file+0x...)", or the address alone. */
void hak_peek_print_code(hak_print* out, const void* code);

HAK_END_DECLS

#endif /* HAKMEM_POSTMORTEM_PEEK_INL_H_ */
