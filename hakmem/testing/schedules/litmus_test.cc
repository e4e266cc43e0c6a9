// The explorer and its memory model, on the small programs that tell memory models apart. Each has the exact set of its
// outcomes.
#include <string>

#include "hakmem/testing/schedules/explorer.h"

#include "gtest/gtest.h"

namespace schedules {
namespace {

constexpr int kRelaxed = HAK_ORDER_RELAXED, kAcquire = HAK_ORDER_ACQUIRE, kRelease = HAK_ORDER_RELEASE,
              kAcqRel = HAK_ORDER_ACQ_REL, kSeq = HAK_ORDER_SEQ;

hak_scheduled_site MakeSite(int op, int order) {
  hak_scheduled_site site = {__FILE__, "litmus", "", __LINE__, op, order, order, 0};
  return site;
}

uint64_t x, y, z;
uint64_t r[4];

uint64_t Load(const uint64_t* address, int order) {
  hak_scheduled_site site = MakeSite(HAK_SCHEDULED_LOAD, order);
  return hak_scheduled_load(address, 8, &site);
}
void Store(uint64_t* address, uint64_t value, int order) {
  hak_scheduled_site site = MakeSite(HAK_SCHEDULED_STORE, order);
  hak_scheduled_store(address, 8, value, &site);
}
uint64_t Modify(int op, uint64_t* address, uint64_t operand, int order) {
  hak_scheduled_site site = MakeSite(op, order);
  return hak_scheduled_modify(address, 8, operand, &site);
}
uint64_t Add(uint64_t* address, uint64_t n, int order) { return Modify(HAK_SCHEDULED_FETCH_ADD, address, n, order); }
uint64_t Exchange(uint64_t* address, uint64_t n, int order) {
  return Modify(HAK_SCHEDULED_EXCHANGE, address, n, order);
}
bool Cas(uint64_t* address, uint64_t expected, uint64_t desired, int order) {
  hak_scheduled_site site = MakeSite(HAK_SCHEDULED_CAS, order);
  return hak_scheduled_cas(address, 8, &expected, desired, &site);
}

using Body = std::function<void()>;
using Outcomes = std::set<std::string>;

// r[0] to r[registers - 1], then x, y at the end where asked for.
Scenario Program(const std::vector<Body>& bodies, int registers, bool finals) {
  static const char* const names[] = {"t0", "t1", "t2", "t3"};
  Scenario scenario;
  for (size_t i = 0; i < bodies.size(); i++) scenario.threads.push_back({names[i], bodies[i]});
  scenario.begin = [] { r[0] = r[1] = r[2] = r[3] = 9; };
  scenario.end = [=] {
    std::string outcome;
    for (int i = 0; i < registers; i++) outcome += std::to_string(r[i]);
    if (finals) outcome += std::to_string(x) + std::to_string(y);
    NoteOutcome(outcome);
  };
  return scenario;
}

// Explored with and without the reduction, which may lose no outcome, and at random, which may find no other.
Outcomes Explore(const std::vector<Body>& bodies, int registers, bool finals) {
  Explorer explorer([&] { return Program(bodies, registers, finals); });
  const Result all = explorer.Exhaust(10000000, false);
  EXPECT_TRUE(all.complete);
  const Result reduced = explorer.Exhaust(10000000);
  EXPECT_TRUE(reduced.complete);
  EXPECT_EQ(reduced.outcomes, all.outcomes);
  EXPECT_LE(reduced.runs, all.runs);
  EXPECT_FALSE(all.failed) << all.failure.what;
  const Result random = explorer.Walk(1, 2000);
  for (const std::string& outcome : random.outcomes) EXPECT_EQ(all.outcomes.count(outcome), 1u) << outcome;
  return reduced.outcomes;
}

Outcomes Observe(const std::vector<Body>& bodies, int registers, bool finals = false) {
  const Outcomes outcomes = Explore(bodies, registers, finals);
  EXPECT_EQ(x + y + z, 0u) << "what runs did to memory is undone";
  return outcomes;
}

// --- store buffering: Dekker ---

Outcomes StoreBuffering(int store, int load, int other_store, int other_load) {
  return Observe({[=] { Store(&x, 1, store), r[0] = Load(&y, load); },
                  [=] { Store(&y, 1, other_store), r[1] = Load(&x, other_load); }},
                 2);
}

TEST(Litmus, StoreBufferingIsForbiddenOnlyWhenAllFourAreSeq) {
  const Outcomes strong = {"01", "10", "11"};
  const Outcomes weak = {"00", "01", "10", "11"};
  EXPECT_EQ(StoreBuffering(kSeq, kSeq, kSeq, kSeq), strong);
  EXPECT_EQ(StoreBuffering(kRelease, kSeq, kSeq, kSeq), weak);
  EXPECT_EQ(StoreBuffering(kSeq, kAcquire, kSeq, kSeq), weak);
  EXPECT_EQ(StoreBuffering(kSeq, kRelaxed, kSeq, kRelaxed), weak);
  EXPECT_EQ(StoreBuffering(kRelease, kAcquire, kRelease, kAcquire), weak);
  EXPECT_EQ(StoreBuffering(kRelaxed, kRelaxed, kRelaxed, kRelaxed), weak);
}

// As publish and collect have it. A relaxed load behind a read-modify-write is not held by it.
TEST(Litmus, StoreBufferingBehindReadModifyWrites) {
  const auto run = [](int modify, int load) {
    return Observe(
        {[=] { Add(&x, 1, modify), r[0] = Load(&y, load); }, [] { Exchange(&y, 1, kSeq), r[1] = Load(&x, kSeq); }}, 2);
  };
  EXPECT_EQ(run(kSeq, kSeq), Outcomes({"01", "10", "11"}));
  EXPECT_EQ(run(kSeq, kRelaxed), Outcomes({"00", "01", "10", "11"}));
  EXPECT_EQ(run(kAcqRel, kSeq), Outcomes({"00", "01", "10", "11"}));
}

// --- message passing ---

Outcomes MessagePassing(int store, int load) {
  return Observe(
      {[=] { Store(&x, 1, kRelaxed), Store(&y, 1, store); }, [=] { r[0] = Load(&y, load), r[1] = Load(&x, kRelaxed); }},
      2);
}

TEST(Litmus, MessagePassingNeedsReleaseAndAcquire) {
  EXPECT_EQ(MessagePassing(kRelease, kAcquire), Outcomes({"00", "01", "11"}));
  EXPECT_EQ(MessagePassing(kSeq, kSeq), Outcomes({"00", "01", "11"}));
  EXPECT_EQ(MessagePassing(kRelaxed, kAcquire), Outcomes({"00", "01", "10", "11"}));
  EXPECT_EQ(MessagePassing(kRelease, kRelaxed), Outcomes({"00", "01", "10", "11"}));
}

// A read-modify-write, relaxed even, hands on the release that it follows; a store does not.
TEST(Litmus, ReleaseSequences) {
  const auto run = [](bool modify) {
    return Observe({[] { Store(&x, 1, kRelaxed), Store(&y, 1, kRelease); },
                    [=] {
                      if (Load(&y, kRelaxed) == 1) modify ? (void)Add(&y, 1, kRelaxed) : Store(&y, 2, kRelaxed);
                    },
                    [] {
                      r[0] = Load(&y, kAcquire);
                      r[1] = Load(&x, kRelaxed);
                    }},
                   2);
  };
  EXPECT_EQ(run(true), Outcomes({"00", "01", "11", "21"}));
  EXPECT_EQ(run(false), Outcomes({"00", "01", "11", "20", "21"}));
}

TEST(Litmus, ReadModifyWritesCarryTheirOrders) {
  const auto run = [](int writer, int reader) {
    return Observe({[=] { Store(&x, 1, kRelaxed), Exchange(&y, 1, writer); },
                    [=] { r[0] = Exchange(&y, 2, reader), r[1] = Load(&x, kRelaxed); }},
                   2);
  };
  EXPECT_EQ(run(kAcqRel, kAcqRel), Outcomes({"00", "01", "11"}));
  EXPECT_EQ(run(kAcquire, kAcqRel), Outcomes({"00", "01", "10", "11"}));
  EXPECT_EQ(run(kAcqRel, kRelease), Outcomes({"00", "01", "10", "11"}));
  EXPECT_EQ(run(kRelaxed, kRelaxed), Outcomes({"00", "01", "10", "11"}));
}

// --- the rest of the classics ---

// Not admitted, though C11 allows it to relaxed accesses: a load never returns a store that is yet to come.
TEST(Litmus, LoadBufferingIsNotAdmitted) {
  EXPECT_EQ(Observe({[] { r[0] = Load(&x, kRelaxed), Store(&y, 1, kRelaxed); },
                     [] { r[1] = Load(&y, kRelaxed), Store(&x, 1, kRelaxed); }},
                    2),
            Outcomes({"00", "01", "10"}));
}

Outcomes IndependentReads(int store, int load) {
  return Observe(
      {[=] { Store(&x, 1, store); }, [=] { Store(&y, 1, store); },
       [=] { r[0] = Load(&x, load), r[1] = Load(&y, load); }, [=] { r[2] = Load(&y, load), r[3] = Load(&x, load); }},
      4);
}

TEST(Litmus, IndependentReadsOfIndependentWrites) {
  EXPECT_EQ(IndependentReads(kSeq, kSeq).count("1010"), 0u);
  EXPECT_EQ(IndependentReads(kSeq, kSeq).size(), 15u);
  EXPECT_EQ(IndependentReads(kRelease, kAcquire).size(), 16u);
  EXPECT_EQ(IndependentReads(kRelaxed, kRelaxed).size(), 16u);
  /* Weaker than C++20, which forbids it here; a processor with one memory for all does not show it. */
  EXPECT_EQ(IndependentReads(kRelease, kSeq).count("1010"), 1u);
}

TEST(Litmus, TwoPlusTwoWrites) {
  const auto run = [](int order) {
    return Observe(
        {[=] { Store(&x, 1, order), Store(&y, 2, order); }, [=] { Store(&y, 1, order), Store(&x, 2, order); }}, 0,
        true);
  };
  EXPECT_EQ(run(kSeq), Outcomes({"12", "21", "22"}));
  EXPECT_EQ(run(kRelease), Outcomes({"11", "12", "21", "22"}));
  EXPECT_EQ(run(kRelaxed), Outcomes({"11", "12", "21", "22"}));
}

TEST(Litmus, Coherence) {
  /* Two reads of one location never go back; two readers agree on the order of two writers. */
  EXPECT_EQ(Observe({[] { Store(&x, 1, kRelaxed), Store(&x, 2, kRelaxed); },
                     [] { r[0] = Load(&x, kRelaxed), r[1] = Load(&x, kRelaxed); }},
                    2),
            Outcomes({"00", "01", "02", "11", "12", "22"}));
  const Outcomes agreed = Observe({[] { Store(&x, 1, kRelaxed); }, [] { Store(&x, 2, kRelaxed); },
                                   [] { r[0] = Load(&x, kRelaxed), r[1] = Load(&x, kRelaxed); },
                                   [] { r[2] = Load(&x, kRelaxed), r[3] = Load(&x, kRelaxed); }},
                                  4);
  EXPECT_EQ(agreed.count("1212"), 1u);
  EXPECT_EQ(agreed.count("1221"), 0u);
  EXPECT_EQ(agreed.count("2112"), 0u);
  /* What a thread has written it does not read as older. */
  EXPECT_EQ(
      Observe({[] { Store(&x, 1, kRelaxed), r[0] = Load(&x, kRelaxed); }, [] { Store(&x, 2, kRelaxed); }}, 1, true),
      Outcomes({"110", "120", "220"}));
}

TEST(Litmus, ReadModifyWritesAreAtomic) {
  EXPECT_EQ(Observe({[] { r[0] = Add(&x, 1, kRelaxed); }, [] { r[1] = Add(&x, 1, kRelaxed); },
                     [] { r[2] = Add(&x, 1, kRelaxed); }},
                    3, true),
            Outcomes({"01230", "02130", "10230", "12030", "20130", "21030"}));
  EXPECT_EQ(Observe({[] { r[0] = Cas(&x, 0, 1, kRelaxed); }, [] { r[1] = Cas(&x, 0, 2, kRelaxed); }}, 2, true),
            Outcomes({"0120", "1010"}));
}

// --- plain memory ---

int plain;
void WritePlain(int value) {
  plain_hook(&plain, sizeof plain, true);
  plain = value;
}
int ReadPlain() {
  plain_hook(&plain, sizeof plain, false);
  return plain;
}

Result PlainMessage(int store, int load) {
  Explorer explorer([=] {
    NameObject(&plain, sizeof plain, "plain");
    return Program({[=] { WritePlain(1), Store(&y, 1, store); },
                    [=] {
                      if (Load(&y, load) == 1) Expect(ReadPlain() == 1, "stale");
                    }},
                   0, false);
  });
  Result result = explorer.Exhaust(1000);
  if (result.failed) {
    const Result again = explorer.Replay(result.failure.schedule);
    EXPECT_EQ(again.failure.what, result.failure.what);
    EXPECT_EQ(again.failure.trace, result.failure.trace);
  }
  return result;
}

TEST(Plain, ARaceIsSeenAndAHandOverIsNone) {
  EXPECT_TRUE(PlainMessage(kRelease, kAcquire).complete);
  EXPECT_FALSE(PlainMessage(kRelease, kAcquire).failed);
  EXPECT_EQ(PlainMessage(kRelaxed, kAcquire).failure.what, "race: t1 reads plain, not ordered with the write by t0");
  EXPECT_EQ(PlainMessage(kRelease, kRelaxed).failure.what, "race: t1 reads plain, not ordered with the write by t0");
  EXPECT_EQ(plain, 0) << "undone";
}

// --- waiting ---

Result LockAndAdd(int take, int give) {
  Explorer explorer([=] {
    const Body body = [=] {
      while (!Cas(&x, 0, 1, take)) hak_scheduled_relax();
      WritePlain(ReadPlain() + 1);
      Store(&x, 0, give);
    };
    Scenario scenario = Program({body, body, body}, 0, false);
    scenario.end = [] { Expect(plain == 3, "an addition is lost"); };
    return scenario;
  });
  return explorer.Exhaust(100000);
}

TEST(Waiting, SpinLock) {
  const Result good = LockAndAdd(kAcquire, kRelease);
  EXPECT_TRUE(good.complete);
  EXPECT_FALSE(good.failed) << good.failure.what << "\n" << good.failure.trace;
  EXPECT_TRUE(LockAndAdd(kRelaxed, kRelease).failed);
  EXPECT_TRUE(LockAndAdd(kAcquire, kRelaxed).failed);
}

TEST(Waiting, ThreadsThatWaitForEachOtherAreReported) {
  Explorer explorer([] {
    return Program({[] {
                      while (Load(&x, kAcquire) == 0) hak_scheduled_relax();
                      Store(&y, 1, kRelease);
                    },
                    [] {
                      while (Load(&y, kAcquire) == 0) hak_scheduled_relax();
                      Store(&x, 1, kRelease);
                    }},
                   0, false);
  });
  EXPECT_EQ(explorer.Exhaust(1000).failure.what, "t0 waits for ever");
}

TEST(Explorer, AFailureTellsItsStory) {
  Explorer explorer([] {
    NameObject(&x, sizeof x, "ready");
    return Program({[] { Store(&x, 1, kRelaxed); }, [] { Expect(Load(&x, kRelaxed) == 0, "too early"); }}, 0, false);
  });
  const Result result = explorer.Exhaust(1000);
  ASSERT_TRUE(result.failed);
  EXPECT_EQ(result.failure.what, "too early");
  EXPECT_EQ(result.failure.schedule, "ab");
  EXPECT_NE(result.failure.trace.find("t1          load_relaxed        ready = 1"), std::string::npos)
      << result.failure.trace;
  EXPECT_EQ(explorer.Replay("ba").failure.what, "");
  EXPECT_EQ(explorer.Replay("bc").failure.what, "the schedule does not fit this scenario");
}

}  // namespace
}  // namespace schedules
