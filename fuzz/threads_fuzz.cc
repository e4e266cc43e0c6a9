/* The calls of api_fuzz by several threads under a schedule that the input decides, against the same model: blocks are
 * freed and resized from afar, threads end and leave their heaps to others, vanish in a fork, or go on after their end.
 *
 * A turn is one byte: whose it is, and how many calls it has. Between turns something may happen that no call does. The
 * threads are scripted (scripted_threads.h), so that an input means the same each time; only what goes on after a thread's
 * end runs on a real one, and, once or twice an input, a thread that starts and ends for one call. At the end every byte
 * must have come back. */
#include <functional>
#include <thread>

#include "fuzz/call_sequence.h"
#include "fuzz/input.h"
#include "fuzz/scripted_threads.h"
#include "hakmem/purge/purge.h"
#include "hakmem/shared_pool/shared_pool.h"

namespace {

constexpr uint64_t kCacheBytes = uint64_t{1} << 20;
constexpr unsigned kRealThreadsMax = 2;
constexpr unsigned kLateTurnsMax = 4;

class Script {
 public:
  explicit Script(fuzz::Input* input)
      : input_(*input), calls_(input), threads_(input->TakeByte() % 8 == 0 ? 0 : kCacheBytes) {}

  void Run() {
    while (!input_.IsUsedUp()) {
      const uint8_t turn = input_.TakeByte();
      Turn(turn % 8, 1 + turn / 8);
      threads_.Audit();
    }
    threads_.Run(0, [this] { calls_.FreeAll(); });
    threads_.End();
  }

 private:
  void Turn(unsigned who, unsigned count) {
    if (who < 6) {
      threads_.Run(who % fuzz::ScriptedThreads::kThreads, [this, count] { Calls(count); });
    } else if (who == 6) {
      Happen();
    } else if (late_turns_++ < kLateTurnsMax) {
      threads_.RunLate([this, count] { Calls(count); });
    }
  }

  void Calls(unsigned count) {
    for (unsigned i = 0; i < count && !input_.IsUsedUp(); i++) {
      calls_.Act(input_.TakeByte() % fuzz::CallSequence::kKinds);
    }
  }

  void Happen() {
    const uint8_t what = input_.TakeByte();
    const unsigned who = what / 8 % fuzz::ScriptedThreads::kThreads;
    switch (what % 8) {
      case 0:
      case 1:
      case 2: threads_.Exit(who); break;
      case 3: threads_.Fork(who); break;
      case 4: threads_.AdvanceClock(uint64_t{1} << input_.TakeBelow(12)); break;
      case 5: hak_shared_pool_drain_parked(1 + what / 8); break;
      case 6: hak_purge_tick(); break;
      default:
        if (real_threads_++ < kRealThreadsMax) std::thread([this] { Calls(1); }).join();
    }
  }

  fuzz::Input& input_;
  fuzz::CallSequence calls_;
  fuzz::ScriptedThreads threads_;
  unsigned real_threads_ = 0;
  unsigned late_turns_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  fuzz::Input input(data, size_bytes);
  Script(&input).Run();
  return 0;
}
