// Units of SuperSlabs: claim, release, purge, the tier index, the set of dirty SuperSlabs.
#include <utility>
#include <vector>

#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/testing/schedules/scenarios.h"
#include "hakmem/testing/schedules/world.h"

namespace schedules {
namespace {

constexpr uint32_t kNoId = 512 * 1024;

// What threads hold, for the end to look at. Reset by `begin`.
struct Held {
  uint32_t units[kThreadsMax];
};
Held held;

void Hold(int thread, const hak_slab* slab, uint32_t units) {
  held.units[thread] = slab == nullptr ? 0 : ((1u << units) - 1) << slab->first_unit;
}

void ForgetHeld() { held = Held(); }

// Every unit of SuperSlab 0 is free or with one thread, but for those of `others`; and the index knows.
void CheckUnits(uint32_t others) {
  uint32_t all = others;
  for (const uint32_t units : held.units) {
    Expect((all & units) == 0, "a unit is with two threads");
    all |= units;
  }
  const uint32_t free_units = door_free_units(0);
  Expect((free_units & all) == 0, "a unit is free and held");
  Expect((free_units | all) == 0xffffffffu, "a unit is lost");
  Expect(door_index_agrees(0), "the tier index is wrong in the end");
}

// The registry still says that the unit is of a span: nobody who is late has cleared its word.
void CheckWordOf(uint32_t unit) {
  Expect(door_registry_word(door_slab(0, unit)->base) == HAK_REGISTRY_SPAN, "a live span's word is gone");
}

// Two free units, two takers, and one that gives a third back.
Scenario ClaimAndRelease() {
  NewWorld();
  door_new_superslab(0);
  hak_slab* span = door_make_span(0, 4, 1);
  door_change_mask(0, 6, 0);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"taker", [] { Hold(0, door_claim(0, 1), 1); }},
      {"taker of 2", [] { Hold(1, door_claim(0, 2), 2); }},
      {"giver", [=] { hak_shared_pool_release_span(span); }},
  };
  scenario.end = [] { CheckUnits(~(6u | 1u << 4)); };
  return scenario;
}

// A unit from hand to hand: what the last holder left behind is seen.
Scenario HandOver() {
  NewWorld();
  door_new_superslab(0);
  hak_slab* span = door_make_span(0, 4, 1);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"giver", [=] { hak_shared_pool_release_span(span); }},
      {"taker",
       [] {
         hak_slab* slab = door_claim(0, 1);
         Hold(1, slab, 1);
         if (slab == nullptr) return;
         Expect(door_registry_word(slab->base) == 0, "the last holder's word");
         door_fill_span(slab, 1);
         Expect(door_registry_owner(slab->base) == slab, "its own");
       }},
      {"taker 2",
       [] {
         hak_slab* slab = door_claim(0, 1);
         Hold(2, slab, 1);
         if (slab != nullptr) Expect(door_registry_word(slab->base) == 0, "the last holder's word");
       }},
  };
  scenario.end = [] {
    CheckUnits(~(1u << 4));
    if (held.units[1] != 0) CheckWordOf(4);
  };
  return scenario;
}

// The same with slabs, from acquire to acquire, by way of the index.
Scenario SlabHandOver() {
  World world = NewWorld();
  hak_heap* heap = AddHeap(&world);
  hak_heap* other = AddHeap(&world);
  hak_slab* slab = AddSlab(&world, heap, 1);
  AddSlab(&world, heap, 1);
  door_change_mask(0, 0, 0xfffffffcu);
  door_unlist(slab, heap, world.size_class);
  (void)hak_slab_give_word(slab, 0, 1);
  Scenario scenario;
  scenario.threads = {
      {"owner", [=] { hak_shared_pool_release(heap, slab); }},
      {"other",
       [=] {
         hak_slab* mine = door_claim_unused(1);
         if (mine == nullptr) return;
         Expect(mine == slab, "there is no other");
         door_fill_slab(mine, other, world.size_class);
         Expect(hak_slab_take_run(mine).mask == ~0ull, "whole");
       }},
  };
  scenario.end = [=] { Expect(door_index_agrees(0), "the tier index is wrong in the end"); };
  return scenario;
}

// A span that grows into its neighbour, a taker, and the neighbour's release.
Scenario GrowSpan() {
  NewWorld();
  door_new_superslab(0);
  hak_slab* span = door_make_span(0, 0, 1);
  hak_slab* neighbour = door_make_span(0, 1, 1);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"grower",
       [=] {
         const bool grew = hak_shared_pool_resize_span(span, 2);
         held.units[0] = grew ? 3 : 1;
         if (grew) Expect(door_registry_owner(span->base + HAK_UNIT_BYTES) == span, "its own");
       }},
      {"giver", [=] { hak_shared_pool_release_span(neighbour); }},
      {"taker", [] { Hold(2, door_claim(0, 1), 1); }},
  };
  scenario.end = [] {
    CheckUnits(~3u);
    if (held.units[0] == 3) CheckWordOf(1);
  };
  return scenario;
}

// A span grows into its room as that is taken away, and another takes what comes free.
Scenario GrowIntoRoom() {
  NewWorld();
  door_new_superslab(0);
  hak_slab* span = door_make_span(0, 0, 1);
  door_give_room(span, 3);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"grower",
       [=] {
         const bool grew = hak_shared_pool_grow_span(span, 2);
         held.units[0] = grew ? 3 : 1;
         if (!grew) return;
         door_use_units(door_slab(0, 1), 1, false);
         Expect(door_registry_owner(span->base + HAK_UNIT_BYTES) == span, "its own");
       }},
      {"taker of rooms", [] { door_take_all_rooms(); }},
      {"taker", [] { Hold(2, door_claim(0, 1), 1); }},
  };
  scenario.end = [=] {
    CheckUnits(~7u | door_room(span));
    if (held.units[0] == 3) CheckWordOf(1);
  };
  return scenario;
}

// Two take rooms away at the same time.
Scenario TakeRooms() {
  NewWorld();
  door_new_superslab(0);
  hak_slab* span = door_make_span(0, 0, 1);
  door_give_room(span, 2);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"giver", [=] { hak_shared_pool_release_span(span); }},
      {"taker of rooms", [] { door_take_all_rooms(); }},
  };
  scenario.end = [] { CheckUnits(~3u); };
  return scenario;
}

// A span is parked, taken again and used, as a purge settles what is parked and another takes units.
Scenario ParkASpan() {
  World world = NewWorld();
  door_new_superslab(0);
  hak_heap* heap = AddHeap(&world);
  hak_slab* span = door_make_span(0, 0, 1);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"owner",
       [=] {
         door_use_units(span, 1, false);
         Expect(hak_shared_pool_try_park_span(span, heap) != 0, "nothing is parked yet");
         hak_slab* again = hak_shared_pool_unpark_span(heap, 1, false);
         if (again == nullptr) return;
         Expect(again == span, "there is no other");
         Hold(0, again, 1);
         door_use_units(again, 1, false);
       }},
      {"purge", [] { door_settle_spans(); }},
      {"taker", [] { Hold(2, door_claim(0, 1), 1); }},
  };
  scenario.end = [=] {
    CheckUnits(~1u);
    if (held.units[0] == 1) CheckWordOf(0);
  };
  return scenario;
}

// The last used unit comes back as another is taken: the SuperSlab goes to the empty cache, or does not.
Scenario LastUnit() {
  NewWorld();
  door_new_superslab(0xfffffffeu);
  hak_slab* span = door_make_span(0, 0, 1);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"giver", [=] { hak_shared_pool_release_span(span); }},
      {"taker", [] { Hold(1, door_acquire_span(31), 31); }},
  };
  scenario.end = [] {
    /* In the cache the mask is 0, and so is the index. */
    if (door_free_units(0) == 0) {
      Expect(door_empty_count() == 1 || held.units[1] != 0, "an empty SuperSlab that nobody has");
      Expect(door_index_agrees(0), "the tier index is wrong in the end");
    } else {
      CheckUnits(0);
    }
  };
  return scenario;
}

// As the last unit comes back, another is taken and returned, so that two may find the SuperSlab empty.
Scenario LastUnitAgain() {
  NewWorld();
  door_new_superslab(0x7fffffffu);
  hak_slab* span = door_make_span(0, 31, 1);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"giver",
       [=] {
         hak_shared_pool_release_span(span);
         door_acquire_span(31);
       }},
      {"visitor",
       [] {
         hak_slab* slab = door_claim(0, 1);
         if (slab == nullptr) return;
         door_fill_span(slab, 1);
         hak_shared_pool_release_span(slab);
       }},
  };
  scenario.end = [] { Expect(door_index_agrees(0), "the tier index is wrong in the end"); };
  return scenario;
}

// A descriptor that had other memory before, found by a thread whose search is older than that.
Scenario Reopen() {
  NewWorld();
  door_map_superslab();
  door_unmap(0);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"mapper", [] { Hold(0, door_acquire_span(1), 1); }},
      {"late", [] { Hold(1, door_claim(0, 1), 1); }},
  };
  scenario.end = [] { CheckUnits(0); };
  return scenario;
}

// A SuperSlab is opened while a thread that took the last unit of its former use still refreshes.
Scenario LateRefresh() {
  NewWorld();
  door_new_superslab(1);
  door_hold_all_unseen(0);
  Scenario scenario;
  scenario.threads = {{"opener", [] { door_open(0, 1); }}, {"late", [] { door_refresh(0); }}};
  scenario.end = [] { Expect(door_index_agrees(0), "the tier index is wrong in the end"); };
  return scenario;
}

// The same, where the index still says what will be right again, so that the opener changes nothing in it.
Scenario LateRefreshListed() {
  Scenario scenario = LateRefresh();
  scenario.threads[0].body = [] { door_open(0, 20); };
  return scenario;
}

// SuperSlabs with high ids, which a search reaches by way of the summary: what a thread was told of, it finds.
Scenario IndexFar() {
  NewWorld();
  door_skip_ids(100);
  const uint32_t near = door_new_superslab(1);
  door_skip_ids(4200);
  const uint32_t far = door_new_superslab(0);
  Scenario scenario;
  scenario.threads = {
      {"taker", [] { Expect(door_claim_unused(1) != nullptr, "there is a unit at any time"); }},
      {"giver",
       [=] {
         door_change_mask(far, 0xff, 0);
         door_set_flag(1);
       }},
      {"told",
       [] {
         door_wait_for_flag();
         Expect(door_claim_unused(1) != nullptr, "a unit that it was told of");
       }},
  };
  scenario.end = [=] {
    Expect(door_index_agrees(near) && door_index_agrees(far), "the tier index is wrong in the end");
  };
  return scenario;
}

// Two threads find no unit, and each maps a SuperSlab; a third gives its units back.
Scenario OpenNew() {
  NewWorld();
  Scenario scenario;
  scenario.begin = ForgetHeld;
  const auto take = [](int thread) {
    hak_slab* slab = door_acquire_span(20);
    Expect(slab != nullptr, "memory");
    Expect(door_registry_owner(slab->base) == slab, "its own");
    held.units[thread] = 1;
  };
  scenario.threads = {{"taker", [=] { take(0); }}, {"taker 2", [=] { take(1); }}};
  scenario.end = [] {
    Expect(door_index_agrees(0) && (door_count_superslabs() < 2 || door_index_agrees(1)), "the index is wrong");
  };
  return scenario;
}

// The purge holds dirty units meanwhile.
Scenario Purge() {
  NewWorld();
  door_new_superslab(0);
  hak_slab* span = door_make_span(0, 4, 1);
  hak_shared_pool_release_span(door_make_span(0, 1, 2));
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"purger", [] { door_purge(0); }},
      {"taker",
       [] {
         hak_slab* slab = door_claim(0, 1);
         Hold(1, slab, 1);
       }},
      {"giver", [=] { hak_shared_pool_release_span(span); }},
  };
  scenario.end = [] {
    CheckUnits(~(6u | 1u << 4));
    /* A held unit's bit is its holder's: the purge clears those of units that it held itself. */
    Expect((door_dirty_units(0) & ~(6u | 1u << 4)) == 0, "dirty that nobody touched");
  };
  return scenario;
}

// Threads change the mask of SuperSlab 0, which has `free_units` at first, and refresh.
Scenario ChangesOfAMask(uint32_t free_units, std::vector<Thread> threads) {
  NewWorld();
  door_new_superslab(free_units);
  Scenario scenario;
  scenario.threads = std::move(threads);
  scenario.end = [] { Expect(door_index_agrees(0), "the tier index is wrong in the end"); };
  return scenario;
}

Thread Removes() {
  return {"removes", [] { door_change_mask(0, 0, 0xff); }};
}
Thread AddsMany() {
  return {"adds many", [] { door_change_mask(0, 0xffff0000u, 0); }};
}

Scenario Index() {
  return ChangesOfAMask(0, {{"adds few", [] { door_change_mask(0, 0xff, 0); }}, AddsMany()});
}

Scenario IndexDown() { return ChangesOfAMask(0xff, {Removes(), AddsMany()}); }

Scenario IndexThree() {
  return ChangesOfAMask(0xff, {Removes(), AddsMany(), {"removes many", [] { door_change_mask(0, 0, 0xffff0000u); }}});
}

// Two SuperSlabs of one word of the index.
Scenario IndexNeighbours() {
  NewWorld();
  door_new_superslab(0xff);
  door_new_superslab(0);
  Scenario scenario;
  scenario.threads = {
      {"removes", [] { door_change_mask(0, 0, 0xff); }},
      {"adds to 1", [] { door_change_mask(1, 0xff, 0); }},
  };
  scenario.end = [] { Expect(door_index_agrees(0) && door_index_agrees(1), "the tier index is wrong in the end"); };
  return scenario;
}

// Marks against takers. Each mark is taken once, or is still to be found.
Scenario DirtyMarks() {
  NewWorld();
  door_new_superslab(0);
  door_new_superslab(0);
  door_mark_dirty(0);
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"marker", [] { door_mark_dirty(1); }},
      {"purger", [] { held.units[1] = door_take_dirty() + 1; }},
      {"purger 2", [] { held.units[2] = door_take_dirty() + 1; }},
  };
  scenario.end = [] {
    uint32_t times[2] = {0, 0};
    for (const uint32_t id : {held.units[1] - 1, held.units[2] - 1}) {
      if (id != kNoId) times[id]++;
    }
    for (const uint32_t id : {0u, 1u}) {
      times[id] += door_is_dirty(id) ? 1 : 0;
      Expect(!door_is_dirty(id) || door_dirty_is_found(id), "a mark that no search finds");
      Expect(times[id] == 1, "a mark is lost, or taken twice");
    }
  };
  return scenario;
}

// Who claims the last dirty unit takes the stale mark away, and another frees one.
Scenario StaleMark() {
  NewWorld();
  door_new_superslab(0);
  hak_slab* span = door_make_span(0, 4, 1);
  hak_shared_pool_release_span(door_make_span(0, 1, 1));
  Scenario scenario;
  scenario.begin = ForgetHeld;
  scenario.threads = {
      {"taker",
       [] {
         Hold(0, door_claim(0, 1), 1);
         door_check_dirty(0);
       }},
      {"giver", [=] { hak_shared_pool_release_span(span); }},
  };
  scenario.end = [] {
    CheckUnits(~(2u | 1u << 4));
    const bool is_dirty = (door_free_units(0) & door_dirty_units(0)) != 0;
    Expect(!is_dirty || door_dirty_is_found(0), "a dirty unit that no purge finds");
  };
  return scenario;
}

}  // namespace

std::vector<NamedScenario> UnitScenarios() {
  return {
      {"claim", "two claims and a release on one SuperSlab", ClaimAndRelease, false},
      {"hand_over", "a unit from holder to holder", HandOver, true},
      {"slab_hand_over", "a slab from release to acquire, by the index", SlabHandOver, true},
      {"grow", "a span grows, its neighbour goes, another takes", GrowSpan, true},
      {"room", "a span grows into its room, which another takes away", GrowIntoRoom, false},
      {"room_taken", "a room goes with its span and is taken away", TakeRooms, true},
      {"park_span", "a span parked and taken again under a purge", ParkASpan, true},
      {"last_unit", "the last unit returns as others are taken", LastUnit, false},
      {"last_unit_again", "the same, with another unit taken and returned", LastUnitAgain, false},
      {"reopen", "a descriptor in its second use under a late search", Reopen, true},
      {"late_refresh", "opened under a late refresh", LateRefresh, true},
      {"late_refresh_listed", "the same, and the index needs no change", LateRefreshListed, true},
      {"index_far", "ids that are found by the summary", IndexFar, true},
      {"open", "two threads open new SuperSlabs", OpenNew, false},
      {"purge", "a purge, a claim and a release", Purge, false},
      {"index", "two refreshes", Index, true},
      {"index_down", "two refreshes, one to none", IndexDown, true},
      {"index_neighbours", "refreshes of two SuperSlabs in one word", IndexNeighbours, true},
      {"index_three", "three refreshes", IndexThree, false},
      {"dirty", "a mark and two takers", DirtyMarks, true},
      {"stale_mark", "the last dirty unit is claimed as another is freed", StaleMark, true},
  };
}

}  // namespace schedules
