/* exec COUNT: executes itself that many times in a row.  vfork COUNT PROGRAM: so many children by vfork and exec, while
 * other threads allocate.  child: one of them, where PROGRAM is this one. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "hakmem/testing/harness/expect.h"

static atomic_bool stop;

static void* churn(void* unused) {
  (void)unused;
  while (!atomic_load(&stop)) {
    char* blocks[100];
    for (int i = 0; i < 100; i++) blocks[i] = launder(malloc((size_t)i * 50));
    for (int i = 0; i < 100; i++) free(blocks[i]);
  }
  return NULL;
}

static void exec_self(const char* program, int count) {
  free(launder(malloc(100)));
  if (count == 0) return;
  char left[16];
  snprintf(left, sizeof left, "%d", count - 1);
  execl(program, program, "exec", left, (char*)NULL);
  EXPECT(!"exec returns only when it fails");
}

static void run_child(const char* program) {
  const pid_t child = vfork();
  EXPECT(child >= 0);
  if (child == 0) {
    execl(program, program, "child", (char*)NULL);
    _exit(127);
  }
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void run_children(int count, const char* program) {
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) EXPECT(pthread_create(&threads[i], NULL, churn, NULL) == 0);
  for (int i = 0; i < count; i++) run_child(program);
  atomic_store(&stop, true);
  for (int i = 0; i < 2; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char** argv) {
  if (argc == 2) {
    free(launder(malloc(100)));
    return 0;
  }
  EXPECT(argc == (strcmp(argv[1], "exec") == 0 ? 3 : 4));
  const int count = (int)strtol(argv[2], NULL, 10);
  if (argc == 3) {
    exec_self(argv[0], count);
  } else {
    run_children(count, argv[3]);
  }
  say("ok");
  return 0;
}
