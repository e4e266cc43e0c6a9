/* Private to the sites: where in a file the functions lie that rules name. */
#ifndef HAKMEM_SITES_SYMBOLS_INL_H_
#define HAKMEM_SITES_SYMBOLS_INL_H_

#include "hakmem/base/base.h"
#include "hakmem/base/slice.h"

HAK_BEGIN_DECLS

/** Told of each function of the file: its name, and the bytes [begin, end) of the file that it is. */
typedef void (*hak_symbols_found)(void* context, hak_slice name, uint64_t begin, uint64_t end);

/** Calls `found` for the functions in the symbol tables of the ELF file at `path`. Takes no lock and allocates by mmap alone.
 *  False: it cannot be read, is none, or has no table. */
bool hak_symbols_read(const char* path, hak_symbols_found found, void* context);

HAK_END_DECLS

#endif /* HAKMEM_SITES_SYMBOLS_INL_H_ */
