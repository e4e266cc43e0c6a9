/* malloc before main, from everywhere a program can run code then, and free after main. */
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { BYTES = 300 };

extern char* early_lib_block;
extern int early_lib_order;
int early_next_order(void);

/* Static, as the first two run before other objects are ready. */
static char* resolver_block;
static char* preinit_block;
static char* constructor_block;
static int preinit_order, constructor_order;

static char* take(char mark) {
  char* block = malloc(BYTES);
  EXPECT(block != NULL);
  return memset(block, mark, BYTES);
}

static int answer(void) { return 42; }

/* Runs while the dynamic linker relocates the program. */
__attribute__((used)) static int (*resolve_answer(void))(void) {
  resolver_block = take(1);
  return answer;
}
static int indirect_answer(void) __attribute__((ifunc("resolve_answer")));

static void before_constructors(void) {
  preinit_order = early_next_order();
  preinit_block = take(2);
}
__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = before_constructors;

__attribute__((constructor)) static void on_start(void) {
  constructor_order = early_next_order();
  constructor_block = take(3);
}

static void expect_all(const char* block, char mark, size_t size) {
  for (size_t i = 0; i < size; i++) EXPECT(block[i] == mark);
}

static void at_exit(void) {
  free(constructor_block);
  free(launder(malloc(1000)));
  say("atexit done");
}

int main(void) {
  EXPECT(indirect_answer() == 42);
  EXPECT(preinit_order == 1 && early_lib_order == 2 && constructor_order == 3);
  expect_all(resolver_block, 1, BYTES);
  expect_all(preinit_block, 2, BYTES);
  expect_all(constructor_block, 3, BYTES);
  expect_all(early_lib_block, 2, 5000);
  free(resolver_block);
  preinit_block = realloc(preinit_block, (size_t)BYTES * 100);
  expect_all(preinit_block, 2, BYTES);
  free(preinit_block);
  EXPECT(atexit(at_exit) == 0);
  say("ok");
  return 0;
}
