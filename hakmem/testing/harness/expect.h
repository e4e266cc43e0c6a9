/* EXPECT for small programs that a test starts and watches. It allocates nothing and works before libc is up. */
#ifndef HAKMEM_TESTING_HARNESS_EXPECT_H_
#define HAKMEM_TESTING_HARNESS_EXPECT_H_

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXPECT_FAILED_STATUS = 99 };

__attribute__((noreturn, unused)) static void expect_failed(const char* where, const char* what) {
  const int error = errno;
  char line[512];
  const int size = snprintf(line, sizeof line, "%s: failed: %s (errno %d)\n", where, what, error);
  const ssize_t written = write(STDERR_FILENO, line, size < (int)sizeof line ? (size_t)size : sizeof line - 1);
  (void)written;
  _exit(EXPECT_FAILED_STATUS);
}

#define EXPECT_TEXT_2_(x) #x
#define EXPECT_TEXT_(x) EXPECT_TEXT_2_(x)
/** Ends the process with a line on stderr and EXPECT_FAILED_STATUS unless `cond` holds. */
#define EXPECT(cond) ((cond) ? (void)0 : expect_failed(__FILE__ ":" EXPECT_TEXT_(__LINE__), #cond))

/** One line on stdout, by write(2) and without malloc. */
__attribute__((unused)) static void say(const char* text) {
  char line[256];
  const int size = snprintf(line, sizeof line, "%s\n", text);
  EXPECT(size > 0 && size < (int)sizeof line);
  EXPECT(write(STDOUT_FILENO, line, (size_t)size) == size);
}

/** Hides from the compiler where a pointer comes from: it may neither warn of what is done with it nor drop it. */
__attribute__((unused)) static void* launder(void* ptr) {
  __asm__ volatile("" : "+r"(ptr) : : "memory");
  return ptr;
}

#endif /* HAKMEM_TESTING_HARNESS_EXPECT_H_ */
