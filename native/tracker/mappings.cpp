#include "mappings.hpp"

#include "mapping.hpp"
#include "residency.hpp"
#include "system.hpp"

namespace fil {
namespace {

/// Measuring takes at most a fiftieth of the time...
constexpr std::uint64_t rest_for_each_nanosecond = 50;
/// ... and is not repeated within a millisecond, in which little is touched.
constexpr std::uint64_t least_rest_nanoseconds = 1'000'000;

}  // namespace

void Mappings::enter(const ExclusiveGuard& guard, Ledger& ledger, const Range& range, std::int64_t delta) {
  if (delta == 0) {
    return;
  }
  if (has_name(range.object)) {
    ledger.change_shared(guard, range.site, range.object, delta);
  } else {
    ledger.change_exact(guard, range.site, delta);
  }
}

void Mappings::set_counted(const ExclusiveGuard& guard, Ledger& ledger, Range& range, std::int64_t bytes) {
  enter(guard, ledger, range, bytes - range.counted);
  range.counted = bytes;
}

void Mappings::measure(const ExclusiveGuard& guard, Ledger& ledger, Range& range) {
  const std::int64_t bytes = system::resident_bytes(range.start, range.end);
  if (bytes >= 0) {
    set_counted(guard, ledger, range, bytes);
  }
}

void Mappings::begin_to_measure(const ExclusiveGuard& guard, Ledger& ledger, Range& range) {
  range.counting = Counting::resident;
  ++measured_ranges_;
  measure(guard, ledger, range);
}

/// A mapping that was not unmapped after all, or has moved.
Range Mappings::restored(const Range& range) {
  Range again = range;
  again.counting = range.counting == Counting::counted_elsewhere ? Counting::whole : range.counting;
  return again;
}

bool Mappings::map(const ExclusiveGuard& guard, Ledger& ledger, Range range) {
  // Where it fails, what is to be set aside one day may have no place: that is said when it comes to pass.
  set_aside_.prepare(guard);
  forget(guard, ledger, range.start, range.end - range.start, nullptr);
  if (range.object == 0) {
    return map_part(guard, ledger, range);
  }
  // Of what is mapped already the pieces are entered as such, between them what is new.
  while (range.start < range.end) {
    const std::uint64_t end = range.offset + (range.end - range.start);
    std::uint64_t twin_from = end;
    std::uint64_t twin_to = end;
    ranges_.for_each(guard, [&](const Range& other) {
      const std::uint64_t other_end = other.offset + (other.end - other.start);
      if (other.object != range.object || other.counting == Counting::counted_elsewhere || other_end <= range.offset ||
          other.offset >= twin_from) {
        return;
      }
      twin_from = other.offset > range.offset ? other.offset : range.offset;
      twin_to = other_end < end ? other_end : end;
    });
    Range next = range;
    next.end = range.start + ((twin_from > range.offset ? twin_from : twin_to) - range.offset);
    if (twin_from == range.offset && twin_to > twin_from) {
      next.counting = Counting::counted_elsewhere;
      ++twins_;
    }
    if (!map_part(guard, ledger, next)) {
      return false;
    }
    range.offset += next.end - range.start;
    range.start = next.end;
  }
  return true;
}

bool Mappings::map_part(const ExclusiveGuard& guard, Ledger& ledger, Range range) {
  range.counted = range.counting == Counting::whole ? range.bytes() : 0;
  if (!ranges_.insert(guard, range)) {
    return false;
  }
  if (range.counting == Counting::whole) {
    enter(guard, ledger, range, range.counted);
  } else if (range.counting == Counting::resident) {
    begin_to_measure(guard, ledger, *ranges_.find(guard, range.start));
  }
  return true;
}

/// Where shared memory that counted was unmapped, what else has it mapped counts from now on.
void Mappings::count_instead_of(const ExclusiveGuard& guard, Ledger& ledger, const Range& gone) {
  const std::uint64_t gone_end = gone.offset + (gone.end - gone.start);
  std::uint64_t from = gone.offset;
  while (from < gone_end) {
    // The first piece that has the byte `from` mapped, or the next one after it.
    const Range* twin = nullptr;
    ranges_.for_each(guard, [&](const Range& other) {
      if (other.object == gone.object && other.counting == Counting::counted_elsewhere && other.offset < gone_end &&
          other.offset + (other.end - other.start) > from && (twin == nullptr || other.offset < twin->offset)) {
        twin = &other;
      }
    });
    if (twin == nullptr) {
      return;
    }
    const std::uint64_t twin_end = twin->offset + (twin->end - twin->start);
    const std::uint64_t piece_from = twin->offset > from ? twin->offset : from;
    const std::uint64_t piece_to = twin_end < gone_end ? twin_end : gone_end;
    const std::uintptr_t address = twin->start + (piece_from - twin->offset);
    // Where there is no room for the pieces, all of the twin counts.
    ranges_.isolate(guard, address, piece_to - piece_from);
    if (Range* piece = ranges_.find(guard, address)) {
      piece->counting = Counting::whole;
      set_counted(guard, ledger, *piece, piece->bytes());
    }
    from = piece_to;
  }
}

void Mappings::note_before(const ExclusiveGuard& guard, const Range& gone, Before& before) {
  if (!before.known()) {
    before.site = gone.site;
    before.counting = gone.counting;
    before.start = gone.start;
    before.bytes = gone.end - gone.start;
    before.is_file = gone.is_file;
    before.object = gone.object;
    before.offset = gone.offset;
    return;
  }
  before.has_more = true;
  // A call that is under way elsewhere has unmapped what stood there: this range was mapped later.
  set_aside_.remove(guard, gone.start, gone.end - gone.start, [](const Range&) {});
  before.is_incomplete |= !set_aside_.insert(guard, gone);
}

/// Removes ranges. Each that counted shared memory leaves it to another, if there is one.
void Mappings::forget(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes,
                      Before* before) {
  if (start + bytes <= start) {
    return;
  }
  constexpr std::size_t most_pieces = 16;
  Range shared[most_pieces];
  std::size_t pieces = 0;
  do {
    pieces = 0;
    std::uintptr_t end = start;
    ranges_.each(guard, start, bytes, [&](const Range& range) {
      if (twins_ != 0 && range.object != 0 && range.counting != Counting::counted_elsewhere && pieces < most_pieces) {
        shared[pieces++] = range;
        end = range.end;
      }
    });
    // As many at once as there is room for their notes.
    const std::size_t part = pieces == most_pieces && end < start + bytes ? end - start : bytes;
    for (std::size_t i = 0; i < pieces; ++i) {
      const std::uintptr_t from = shared[i].start > start ? shared[i].start : start;
      const std::uintptr_t to = shared[i].end < start + part ? shared[i].end : start + part;
      shared[i].offset += from - shared[i].start;
      shared[i].start = from;
      shared[i].end = to;
    }
    ranges_.remove(guard, start, part, [&](const Range& gone) {
      if (before != nullptr) {
        note_before(guard, gone, *before);
      }
      enter(guard, ledger, gone, -gone.counted);
    });
    for (std::size_t i = 0; i < pieces; ++i) {
      count_instead_of(guard, ledger, shared[i]);
    }
    start += part;
    bytes -= part;
  } while (bytes != 0);
  if (ranges_.empty()) {
    measured_ranges_ = 0;
    twins_ = 0;
  }
}

Mappings::Before Mappings::unmap(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes) {
  measure_part(guard, ledger, start, bytes);
  Before before;
  before.asked_end = start + bytes;
  forget(guard, ledger, start, bytes, &before);
  return before;
}

void Mappings::forget_set_aside(const ExclusiveGuard& guard, const Before& before) {
  set_aside_.remove(guard, before.start, before.asked_end - before.start, [](const Range&) {});
}

void Mappings::forget_if_unmapped(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start,
                                  std::size_t bytes) {
  const std::uintptr_t end = start + bytes;
  for (const Range* range = ranges_.next(guard, start); start < end && range != nullptr && range->start < end;
       range = ranges_.next(guard, start)) {
    const std::uintptr_t from = range->start > start ? range->start : start;
    const std::uintptr_t to = range->end < end ? range->end : end;
    // The kernel unmaps all of what it was asked to, or nothing.
    if (!system::is_mapped(reinterpret_cast<const void*>(from))) {
      forget(guard, ledger, from, to - from, nullptr);
    }
    start = to;
  }
}

void Mappings::replaced(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes) {
  forget(guard, ledger, start, bytes, nullptr);
}

Mappings::Before Mappings::at(const ExclusiveGuard& guard, std::uintptr_t address) {
  Before there;
  if (const Range* range = ranges_.find(guard, address); range != nullptr) {
    Range part = *range;
    part.start = address;
    part.offset += address - range->start;
    note_before(guard, part, there);
  }
  return there;
}

void Mappings::made_accessible(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes) {
  bool any = false;
  ranges_.each(guard, start, bytes, [&](const Range& range) { any = any || never_accessible(range.counting); });
  // Where there is no room for the pieces, the whole of the range is taken to be accessible.
  if (!any) {
    return;
  }
  ranges_.isolate(guard, start, bytes);
  ranges_.each(guard, start, bytes, [&](Range& range) {
    const bool is_large = range.bytes() >= static_cast<std::int64_t>(least_reservation_bytes) && range.object == 0;
    if (range.counting == Counting::resident_once_accessible ||
        (range.counting == Counting::whole_once_accessible && is_large)) {
      begin_to_measure(guard, ledger, range);
    } else if (range.counting == Counting::whole_once_accessible) {
      range.counting = Counting::whole;
      set_counted(guard, ledger, range, range.bytes());
    }
  });
}

void Mappings::pages_given_back(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes) {
  ranges_.each(guard, start, bytes, [&](Range& range) {
    if (range.counting == Counting::whole) {
      begin_to_measure(guard, ledger, range);
    } else if (range.counting == Counting::resident) {
      measure(guard, ledger, range);
    }
  });
}

void Mappings::measure_now_and_then(const ExclusiveGuard& guard, Ledger& ledger) {
  const std::uint64_t began = system::now_nanoseconds();
  if (began < next_measuring_nanoseconds_) {
    return;
  }
  measure_all(guard, ledger);
  const std::uint64_t ended = system::now_nanoseconds();
  const std::uint64_t rest = (ended - began) * rest_for_each_nanosecond;
  next_measuring_nanoseconds_ = ended + (rest > least_rest_nanoseconds ? rest : least_rest_nanoseconds);
}

void Mappings::measure_all(const ExclusiveGuard& guard, Ledger& ledger) {
  measured_ranges_ = 0;
  for (Range& range : ranges_) {
    if (range.counting == Counting::resident) {
      ++measured_ranges_;
      measure(guard, ledger, range);
    }
  }
}

void Mappings::measure_part(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes) {
  ranges_.each(guard, start, bytes, [&](Range& range) {
    if (range.counting == Counting::resident) {
      measure(guard, ledger, range);
    }
  });
}

void Mappings::clear(const ExclusiveGuard& guard) {
  ranges_.clear(guard);
  set_aside_.clear(guard);
  measured_ranges_ = 0;
  twins_ = 0;
  next_measuring_nanoseconds_ = 0;
}

}  // namespace fil
