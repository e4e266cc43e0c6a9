/* The reader of traces. Of well-formed ones, written from what the input says, against the list of what was written; of any
 * bytes, and of well-formed ones that were damaged: refused with one line, or playable from end to end. */
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/input.h"
#include "tools/trace/reader.h"
#include "tools/trace/test_file.h"

namespace {

using trace_test::File;

constexpr uint32_t kThreads = 3;
constexpr size_t kDamagesMax = 8;

/* A trace is played in one order at least: no block is named before it is made, nor after it was freed. */
struct Played {
  std::vector<char> is_live;
  uint64_t ops = 0;
  uint64_t marks = 0;
};

void Play(void* context, uint32_t, const hak_trace_op* op, uint32_t made) {
  Played* played = static_cast<Played*>(context);
  if (op->kind == HAK_TRACE_MARK) {
    FUZZ_CHECK(op->size == played->marks++);
    return;
  }
  played->ops++;
  if (hak_trace_names_block(static_cast<hak_trace_kind>(op->kind))) {
    FUZZ_CHECK(played->is_live.at(op->block) != 0);
    if (!op->has_failed) played->is_live[op->block] = 0;
  }
  if (made != UINT32_MAX) played->is_live.at(made) = 1;
}

/* The trace is freed again; false where it was refused. */
bool LoadAndPlay(const std::vector<uint8_t>& bytes, uint64_t* ops) {
  hak_trace_error error = {};
  hak_trace* trace = hak_trace_load(bytes.data(), bytes.size(), &error);
  if (trace == nullptr) {
    const std::string text = error.text;
    FUZZ_CHECK(!text.empty() && text.find('\n') == std::string::npos);
    return false;
  }
  Played played;
  played.is_live.resize(trace->blocks_count);
  FUZZ_CHECK(hak_trace_walk(trace, Play, &played, &error));
  FUZZ_CHECK(played.ops == trace->ops_count && played.marks == trace->marks_count);
  *ops = trace->ops_count;
  hak_trace_unload(trace);
  return true;
}

/* Writes what threads could have done: they name blocks that are there. */
class Session {
 public:
  explicit Session(fuzz::Input* input) : input_(input) {}

  void Run() {
    while (!input_->IsUsedUp() && ops_ + ticket_ < 3000) Step();
    if (input_->TakeBool()) file_.CloseAll();
    uint64_t ops = 0;
    FUZZ_CHECK(LoadAndPlay(file_.bytes(), &ops));
    FUZZ_CHECK(ops == ops_);
  }

  std::vector<uint8_t>& bytes() { return file_.bytes(); }

 private:
  void Step() {
    const uint8_t what = input_->TakeByte();
    const uint32_t thread = what % kThreads;
    hak_trace_record record = File::Of(static_cast<hak_trace_kind>(what / kThreads % HAK_TRACE_KINDS));
    switch (record.kind) {
      case HAK_TRACE_MARK: {
        ticket_ += 1 + input_->TakeBelow(2); /* one may be missing */
        record.ticket = ticket_;
        time_us_ += input_->TakeNumber(1);
        record.time_us = time_us_;
        file_.Put(thread, record);
        marks_++;
        return;
      }
      case HAK_TRACE_FREE_UNKNOWN: file_.Put(thread, record); return;
      case HAK_TRACE_FREE:
      case HAK_TRACE_REALLOC:
      case HAK_TRACE_REALLOC_FREED:
        if (live_.empty()) return;
        NameBlock(&record);
        break;
      case HAK_TRACE_CALLOC: record.count = input_->TakeNumber(1 + static_cast<int>(input_->TakeBelow(4))); break;
      case HAK_TRACE_ALIGNED_ALLOC:
      case HAK_TRACE_POSIX_MEMALIGN:
      case HAK_TRACE_MEMALIGN: record.alignment_log2 = static_cast<uint8_t>(input_->TakeBelow(64)); break;
      default: break;
    }
    if (hak_trace_makes_block(record.kind, false)) {
      record.size = input_->TakeNumber(1 + static_cast<int>(input_->TakeBelow(8)));
      record.has_failed = record.kind != HAK_TRACE_REALLOC && input_->TakeByte() == 255;
    }
    file_.Put(thread, record);
    if (hak_trace_makes_block(record.kind, record.has_failed)) live_.emplace_back(thread, born_[thread]++);
    ops_++;
  }

  void NameBlock(hak_trace_record* record) {
    std::swap(live_[input_->TakeBelow(live_.size())], live_.back());
    record->thread = live_.back().first;
    record->ordinal = live_.back().second;
    live_.pop_back();
  }

  fuzz::Input* input_;
  File file_;
  std::vector<std::pair<uint32_t, uint64_t>> live_;
  uint64_t born_[kThreads] = {};
  uint64_t ops_ = 0;
  uint64_t marks_ = 0;
  uint64_t ticket_ = 0;
  uint64_t time_us_ = 0;
};

/* Any bytes as records of an open chunk, which has no checksum to stop them. */
std::vector<uint8_t> AnyRecords(fuzz::Input* input) {
  File file;
  for (uint32_t thread = 0; thread < 2; thread++) {
    file.Malloc(thread, 1);
    file.bytes().resize(file.bytes().size());
  }
  const size_t room = File::kPageBytes - sizeof(hak_trace_chunk_header);
  for (size_t chunk = 1; chunk <= 2; chunk++) {
    uint8_t* records = &file.bytes()[chunk * File::kPageBytes + sizeof(hak_trace_chunk_header)];
    const size_t wanted = 1 + input->TakeNumber(2) % room;
    for (size_t i = 0; i < wanted && !input->IsUsedUp(); i++) records[i] = input->TakeByte();
  }
  return file.bytes();
}

void Damage(fuzz::Input* input, std::vector<uint8_t>* bytes) {
  for (size_t i = 0; i < kDamagesMax && !input->IsUsedUp(); i++) {
    (*bytes)[input->TakeNumber(3) % bytes->size()] ^= input->TakeByte();
  }
  if (input->TakeBool()) bytes->resize(input->TakeNumber(3) % bytes->size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  if (size_bytes == 0) return 0;
  fuzz::Input input(data + 1, size_bytes - 1);
  uint64_t ops = 0;
  switch (data[0] % 4) {
    case 0: {
      LoadAndPlay(std::vector<uint8_t>(data + 1, data + size_bytes), &ops);
      break;
    }
    case 1: {
      LoadAndPlay(AnyRecords(&input), &ops);
      break;
    }
    case 2: {
      Session session(&input);
      session.Run();
      break;
    }
    default: {
      const size_t half = (size_bytes - 1) / 2;
      fuzz::Input first(data + 1, half);
      fuzz::Input second(data + 1 + half, size_bytes - 1 - half);
      Session session(&first);
      session.Run();
      Damage(&second, &session.bytes());
      LoadAndPlay(session.bytes(), &ops);
      break;
    }
  }
  return 0;
}
