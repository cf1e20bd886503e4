// The program's mappings and what of them counts. Memory that was promised counts whole, from the mapping on; of files
// and reservations the pages count that are in memory. No event tells when the program touches a page, so these are
// measured: when they are mapped, protected or advised, before they are unmapped, and in between as often as that is
// cheap.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ledger.hpp"
#include "range_map.hpp"

namespace fil {

class Mappings {
 public:
  /// What stood in a place before it was unmapped, the first mapping there; `site` is the root if nothing was known.
  struct Before {
    SiteId site = SiteId::root;
    Counting counting = Counting::whole;
    /// Where its part of what was asked for begins, and how far it goes.
    std::uintptr_t start = 0;
    std::size_t bytes = 0;
    bool is_file = false;
    SharedObject object = 0;
    std::uint64_t offset = 0;
    /// Where what was asked for ends, and whether other mappings had a part of it as well: these are set aside until it
    /// is known whether the kernel does it.
    std::uintptr_t asked_end = 0;
    bool has_more = false;
    /// There was no room to set all aside.
    bool is_incomplete = false;

    bool known() const { return site != SiteId::root; }
  };

  bool empty() const { return ranges_.empty(); }

  /// Enters a mapping in place of whatever was there; `counted` is ignored. False if there was no memory for the entry:
  /// it does not count. Of shared memory that is mapped already only what is not mapped yet counts.
  bool map(const ExclusiveGuard& guard, Ledger& ledger, Range range);

  /// Before the memory is given back. Returns what take_back() needs.
  Before unmap(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes);

  /// After the kernel has refused that: calls `enter(Range)` for each mapping that unmap() has removed.
  template <class Enter>
  void take_back(const ExclusiveGuard& guard, const Before& before, Enter enter);

  /// After it has done so.
  void forget_set_aside(const ExclusiveGuard& guard, const Before& before);

  /// After the kernel has refused something, but perhaps only once it had unmapped what stood there.
  void forget_if_unmapped(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes);

  /// After the kernel has put another mapping in its place. Before that, what was touched is to be measured.
  void replaced(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes);

  /// The mapping at an address.
  Before at(const ExclusiveGuard& guard, std::uintptr_t address);

  /// After its protection was changed to one that allows access.
  void made_accessible(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes);

  /// After the program has shown that it gives pages of a mapping back without unmapping them, as allocators do: from
  /// now on what is in memory counts.
  void pages_given_back(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes);

  /// Whether there is something to measure now and then, or somebody else wants to be called as often.
  bool wants_measuring() const { return (measured_ranges_ | others_) != 0; }
  void let_others_be_called(bool yes) { others_ = yes ? 1 : 0; }

  /// To be called at events while there is: measures all, if the last time is long enough ago for what it cost.
  void measure_now_and_then(const ExclusiveGuard& guard, Ledger& ledger);
  void measure_all(const ExclusiveGuard& guard, Ledger& ledger);

  /// The ranges that have a part of these `bytes`.
  void measure_part(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes);

  /// What is mapped and was not touched when it was measured last, so that it takes no memory and does not count.
  std::int64_t untouched_bytes(const ExclusiveGuard& guard) const {
    std::int64_t bytes = 0;
    ranges_.for_each(guard, [&](const Range& range) { bytes += range.untouched_bytes(); });
    return bytes;
  }

  /// Calls `visit(const Range&)` for each.
  template <class Visit>
  void for_each(const ExclusiveGuard& guard, Visit visit) const {
    ranges_.for_each(guard, visit);
  }

  template <class Visit>
  void each_reservation(const ExclusiveGuard& guard, Visit visit) const {
    ranges_.each_reservation(guard, visit);
    set_aside_.each_reservation(guard, visit);
  }

  void clear(const ExclusiveGuard& guard);

 private:
  static void enter(const ExclusiveGuard& guard, Ledger& ledger, const Range& range, std::int64_t delta);
  static void set_counted(const ExclusiveGuard& guard, Ledger& ledger, Range& range, std::int64_t bytes);
  static void measure(const ExclusiveGuard& guard, Ledger& ledger, Range& range);
  void begin_to_measure(const ExclusiveGuard& guard, Ledger& ledger, Range& range);
  bool map_part(const ExclusiveGuard& guard, Ledger& ledger, Range range);
  void count_instead_of(const ExclusiveGuard& guard, Ledger& ledger, const Range& gone);
  void forget(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes, Before* before);
  void note_before(const ExclusiveGuard& guard, const Range& gone, Before& before);
  static Range restored(const Range& range);

  RangeMap ranges_;
  /// What calls that are under way unmap, but for the first mapping of each, which the caller has.
  RangeMap set_aside_;
  /// How many of them count as `resident`; pieces of one included, so it can only be too high by pieces that are gone.
  std::size_t measured_ranges_ = 0;
  std::size_t others_ = 0;
  /// Ranges that were entered as `counted_elsewhere` since there was none.
  std::size_t twins_ = 0;
  std::uint64_t next_measuring_nanoseconds_ = 0;
};

template <class Enter>
void Mappings::take_back(const ExclusiveGuard& guard, const Before& before, Enter enter) {
  if (!before.known()) {
    return;
  }
  enter(restored(Range{before.start, before.start + before.bytes, 0, before.site, before.counting, before.is_file,
                       before.object, before.offset}));
  if (before.has_more) {
    pass(Mark::several_mappings_restored);
    set_aside_.remove(guard, before.start, before.asked_end - before.start,
                      [&](const Range& range) { enter(restored(range)); });
  }
}

}  // namespace fil
