#include "hakmem/testing/schedules/fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

// Saves what a called function must keep, on the stack; stores the stack pointer at *save and goes on at `load`.
extern "C" void hak_scheduled_switch(void** save, void* load);

#if defined(__x86_64__)
__asm__(
    ".text\n"
    ".p2align 4\n"
    ".hidden hak_scheduled_switch\n"
    ".globl hak_scheduled_switch\n"
    ".type hak_scheduled_switch, @function\n"
    "hak_scheduled_switch:\n"
    "  pushq %rbp\n"
    "  pushq %rbx\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  pushq %r14\n"
    "  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n"
    "  popq %r14\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  popq %rbx\n"
    "  popq %rbp\n"
    "  ret\n"
    ".size hak_scheduled_switch, .-hak_scheduled_switch\n");
/* The stack is a multiple of 16 at a call, so 8 off behind its return address. */
enum { SAVED_WORDS = 7, RETURN_WORD = 6, WORDS_ABOVE = 3 };
#elif defined(__aarch64__)
__asm__(
    ".text\n"
    ".p2align 4\n"
    ".hidden hak_scheduled_switch\n"
    ".globl hak_scheduled_switch\n"
    ".type hak_scheduled_switch, %function\n"
    "hak_scheduled_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp, #0]\n"
    "  stp x21, x22, [sp, #16]\n"
    "  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n"
    "  stp x27, x28, [sp, #64]\n"
    "  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n"
    "  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n"
    "  stp d14, d15, [sp, #144]\n"
    "  mov x2, sp\n"
    "  str x2, [x0]\n"
    "  mov sp, x1\n"
    "  ldp x19, x20, [sp, #0]\n"
    "  ldp x21, x22, [sp, #16]\n"
    "  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n"
    "  ldp x27, x28, [sp, #64]\n"
    "  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n"
    "  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n"
    "  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  ret\n"
    ".size hak_scheduled_switch, .-hak_scheduled_switch\n");
enum { SAVED_WORDS = 20, RETURN_WORD = 11, WORDS_ABOVE = 2 };
#else
#error "fibers are written for x86-64 and aarch64"
#endif

namespace schedules {
namespace {

Fiber* starting;

}  // namespace

Fiber::Fiber() {
  void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) abort();
  stack_ = static_cast<char*>(stack);
}

Fiber::~Fiber() { munmap(stack_, kStackBytes); }

void Fiber::Enter() {
  Fiber* self = starting;
  self->entry_(self->argument_);
  abort();
}

void Fiber::Prepare(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  /* As if Enter had been called from address 0 and left at its first instruction. */
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes) - WORDS_ABOVE;
  void** saved = top - SAVED_WORDS;
  for (int i = 0; i < SAVED_WORDS + WORDS_ABOVE; i++) saved[i] = nullptr;
  saved[RETURN_WORD] = reinterpret_cast<void*>(&Fiber::Enter);
  inside_ = saved;
}

void Fiber::Resume() {
  starting = this;
  hak_scheduled_switch(&outside_, inside_);
}

void Fiber::Leave() { hak_scheduled_switch(&inside_, outside_); }

}  // namespace schedules
