/* Private to background: where metrics go. */
#ifndef HAKMEM_BACKGROUND_METRICS_INL_H_
#define HAKMEM_BACKGROUND_METRICS_INL_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** True: the text in force names a place that differs from process to process. */
bool hak_metrics_is_of_this_process(void);

/** True: a socket, "unix:/path". */
bool hak_metrics_is_socket(void);

/** Writes the file anew. */
void hak_metrics_write_file(void);

/** A socket that listens at the path, or -1. */
int hak_metrics_listen(void);

/** Writes the figures to a socket, and closes it. A client has a second to read them: others wait, and nothing is purged. */
void hak_metrics_answer(int client);

/** Waits up to `ms`; answers one connection of `listener`, which may be -1. */
void hak_metrics_wait(int listener, uint64_t ms);

void hak_metrics_remove_socket(void);
void hak_metrics_close(int file);

HAK_END_DECLS

#endif /* HAKMEM_BACKGROUND_METRICS_INL_H_ */
