// What a run looks like to a reader, and the functions that the boxes call in place of atomics.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hakmem/testing/schedules/explorer.h"

namespace schedules {
namespace {

const char* const op_names[] = {"load",      "store", "exchange", "fetch_or", "fetch_and", "fetch_add",
                                "fetch_sub", "cas",   "await",    "sleep",    "wake"};
const char* const order_names[] = {"relaxed", "acquire", "release", "acq_rel", "seq"};

const char* BaseName(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

}  // namespace

std::string Explorer::NameOf(uint64_t address) const {
  for (const Object& object : objects_) {
    if (address < object.start || address >= object.end) continue;
    if (address == object.start) return object.name;
    return object.name + "+" + std::to_string(address - object.start);
  }
  char text[24];
  snprintf(text, sizeof text, address < 4096 ? "%" PRIu64 : "0x%" PRIx64, address);
  return text;
}

void Explorer::TraceStep(const Runner& runner, const Op& op, const Effect& effect) {
  char text[400];
  std::string line = scenario_.threads[static_cast<size_t>(runner.index)].name;
  line.resize(line.size() < 12 ? 12 : line.size(), ' ');
  line += op_names[op.kind];
  if (op.site != nullptr) line += std::string("_") + order_names[op.order];
  line.resize(line.size() < 32 ? 32 : line.size(), ' ');
  line += NameOf(reinterpret_cast<uintptr_t>(memory_.AddressOf(op.location)));
  if (op.kind != HAK_SCHEDULED_STORE && op.site != nullptr) {
    line += " = " + NameOf(effect.read);
    if (effect.read != effect.newest) line += " (stale: " + NameOf(effect.newest) + ")";
  }
  if (effect.wrote) line += " := " + NameOf(effect.written);
  if (effect.stored_behind_newer) line += " (behind a newer one)";
  if (op.kind == HAK_SCHEDULED_CAS && !effect.wrote) line += " (not as expected)";
  if (op.site != nullptr) {
    snprintf(text, sizeof text, "   %s %s:%d %s%s", op.site->function, BaseName(op.site->file), op.site->line,
             op.site->argument, op.site->order == op.site->given_order ? "" : "   WEAKENED");
    line += text;
  }
  trace_ += line + "\n";
}

namespace {

Op MakeOp(const hak_scheduled_site* site, uint64_t operand) {
  Op op;
  op.kind = site->op;
  op.order = site->order;
  op.operand = operand;
  op.site = site;
  return op;
}

/* False: done at once, by whoever calls. */
bool IsExplored(hak_scheduled_site* site) {
  Explorer* explorer = Explorer::active();
  if (explorer == nullptr || !explorer->is_inside() || (site->seen & 2) != 0) return false;
  site->seen |= 1;
  return true;
}

void WriteDirect(void* address, uint32_t bytes, uint64_t value) {
  if (Explorer::active() != nullptr) Explorer::active()->NoteDirectWrite(address, bytes);
  WriteWord(address, bytes, value);
}

void PerformAside(int kind, const void* address, uint64_t expected) {
  Explorer* explorer = Explorer::active();
  if (explorer == nullptr || !explorer->is_inside()) return;
  Op op;
  op.kind = kind;
  op.expected = expected;
  bool done;
  explorer->Perform(address, 4, op, &done);
}

}  // namespace
}  // namespace schedules

using schedules::Explorer;
using schedules::Op;

uint64_t hak_scheduled_load(const void* address, uint32_t bytes, hak_scheduled_site* site) {
  if (!schedules::IsExplored(site)) return schedules::ReadWord(address, bytes);
  bool done;
  return Explorer::active()->Perform(address, bytes, schedules::MakeOp(site, 0), &done);
}

void hak_scheduled_store(void* address, uint32_t bytes, uint64_t value, hak_scheduled_site* site) {
  if (!schedules::IsExplored(site)) {
    schedules::WriteDirect(address, bytes, value);
    return;
  }
  bool done;
  Explorer::active()->Perform(address, bytes, schedules::MakeOp(site, value), &done);
}

uint64_t hak_scheduled_modify(void* address, uint32_t bytes, uint64_t operand, hak_scheduled_site* site) {
  if (!schedules::IsExplored(site)) {
    const uint64_t old = schedules::ReadWord(address, bytes);
    schedules::WriteDirect(address, bytes, schedules::Modified(site->op, bytes, old, operand));
    return old;
  }
  bool done;
  return Explorer::active()->Perform(address, bytes, schedules::MakeOp(site, operand), &done);
}

bool hak_scheduled_cas(void* address, uint32_t bytes, uint64_t* expected, uint64_t desired, hak_scheduled_site* site) {
  if (!schedules::IsExplored(site)) {
    const uint64_t found = schedules::ReadWord(address, bytes);
    if (found == *expected) {
      schedules::WriteDirect(address, bytes, desired);
      return true;
    }
    *expected = found;
    return false;
  }
  Op op = schedules::MakeOp(site, desired);
  op.expected = *expected;
  bool done = false;
  *expected = Explorer::active()->Perform(address, bytes, op, &done);
  return done;
}

void hak_scheduled_relax() {
  Explorer* explorer = Explorer::active();
  if (explorer != nullptr && explorer->is_inside()) explorer->Relax();
}

void hak_scheduled_sleep(const void* address, uint32_t expected) {
  schedules::PerformAside(HAK_SCHEDULED_SLEEP, address, expected);
}

void hak_scheduled_wake(const void* address) { schedules::PerformAside(HAK_SCHEDULED_WAKE, address, 0); }

void hak_scheduled_fail(const char* what) {
  if (Explorer::active() != nullptr) Explorer::active()->FailInside(what);
}
