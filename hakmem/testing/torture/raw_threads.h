/* Threads made by clone, with thread-local variables of their own, all at the same time. */
#ifndef HAKMEM_TESTING_TORTURE_RAW_THREADS_H_
#define HAKMEM_TESTING_TORTURE_RAW_THREADS_H_

void raw_threads(void);

#endif /* HAKMEM_TESTING_TORTURE_RAW_THREADS_H_ */
