#include "mappings.hpp"

#include "residency.hpp"
#include "system.hpp"

namespace fil {
namespace {

/// Measuring takes at most a fiftieth of the time...
constexpr std::uint64_t rest_for_each_nanosecond = 50;
/// ... and is not repeated within a millisecond, in which little is touched.
constexpr std::uint64_t least_rest_nanoseconds = 1'000'000;

}  // namespace

void Mappings::set_counted(const ExclusiveGuard& guard, Ledger& ledger, Range& range, std::int64_t bytes) {
  if (bytes > range.counted) {
    ledger.allocate(guard, range.site, bytes - range.counted);
  } else if (bytes < range.counted) {
    ledger.release(guard, range.site, range.counted - bytes);
  }
  range.counted = bytes;
}

void Mappings::measure(const ExclusiveGuard& guard, Ledger& ledger, Range& range) {
  const std::int64_t bytes = system::resident_bytes(range.start, range.end);
  if (bytes >= 0) {
    set_counted(guard, ledger, range, bytes);
  }
}

bool Mappings::map(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes, SiteId site,
                   Counting counting) {
  ranges_.remove(guard, start, bytes, [&](const Range& gone) { ledger.release(guard, gone.site, gone.counted); });
  Range range{start, start + bytes, 0, site, counting};
  if (counting == Counting::whole) {
    range.counted = range.bytes();
  }
  if (!ranges_.insert(guard, range)) {
    return false;
  }
  if (counting == Counting::whole) {
    ledger.allocate(guard, site, range.counted);
  } else if (counting == Counting::resident) {
    ++measured_ranges_;
    measure(guard, ledger, *ranges_.find(guard, start));
  }
  return true;
}

Mappings::Before Mappings::unmap(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes) {
  ranges_.each(guard, start, bytes, [&](Range& range) {
    if (range.counting == Counting::resident) {
      measure(guard, ledger, range);
    }
  });
  Before before;
  ranges_.remove(guard, start, bytes, [&](const Range& gone) {
    if (!before.known()) {
      before = Before{gone.site, gone.counting, gone.end - gone.start};
    }
    ledger.release(guard, gone.site, gone.counted);
  });
  if (ranges_.empty()) {
    measured_ranges_ = 0;
  }
  return before;
}

Mappings::Before Mappings::at(const ExclusiveGuard& guard, std::uintptr_t address) {
  const Range* range = ranges_.find(guard, address);
  return range == nullptr ? Before{} : Before{range->site, range->counting, range->end - address};
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
    if (range.counting == Counting::whole_once_accessible) {
      range.counting = Counting::whole;
      set_counted(guard, ledger, range, range.bytes());
    } else if (range.counting == Counting::resident_once_accessible) {
      range.counting = Counting::resident;
      ++measured_ranges_;
      measure(guard, ledger, range);
    }
  });
}

void Mappings::pages_given_back(const ExclusiveGuard& guard, Ledger& ledger, std::uintptr_t start, std::size_t bytes) {
  ranges_.each(guard, start, bytes, [&](Range& range) {
    if (range.counting == Counting::whole) {
      range.counting = Counting::resident;
      ++measured_ranges_;
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

void Mappings::clear(const ExclusiveGuard& guard) {
  ranges_.clear(guard);
  measured_ranges_ = 0;
  next_measuring_nanoseconds_ = 0;
}

}  // namespace fil
