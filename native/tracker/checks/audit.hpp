// The checked build's audits: what must hold for all tables together, and call stacks found a second time without any
// cache. The release build instantiates none of it.
#pragma once

#include <errno.h>

#include "../../shared/segment.hpp"
#include "../block_table.hpp"
#include "../exclusive.hpp"
#include "../mappings.hpp"
#include "../range_map.hpp"
#include "../system.hpp"
#include "checks.hpp"

namespace fil::checks {

/// Whether failpoints are set: then tables differ from what is true on purpose.
bool is_failing();

/// While one lives, the thread passes no marks and no failpoints: an audit is not what tests are about.
class Quiet {
 public:
  Quiet();
  ~Quiet();
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

/// errno is the program's: whoever holds one of these gives it back as it was.
class ErrnoWatch {
 public:
  ErrnoWatch() {
    if constexpr (is_checked_build) {
      before_ = errno;
    }
  }
  ~ErrnoWatch() {
    invariant([&] { return errno == before_; }, "an event leaves errno as it was");
  }
  ErrnoWatch(const ErrnoWatch&) = delete;
  ErrnoWatch& operator=(const ErrnoWatch&) = delete;

 private:
  int before_ = 0;
};

/// The header's totals are the sums over all sites.
inline void audit_totals(const ExclusiveGuard&, segment::View view) {
  const segment::Header& header = view.header();
  const std::uint64_t peak_generation = header.peak_generation.load(std::memory_order_relaxed);
  const std::uint32_t sites = header.site_count.load(std::memory_order_relaxed);
  std::int64_t current = 0;
  std::int64_t at_peak = 0;
  for (std::uint32_t i = 0; i < sites; ++i) {
    current += view.counts()[i].current_bytes.load(std::memory_order_relaxed);
    at_peak += segment::bytes_at_peak(view.counts()[i], peak_generation);
  }
  invariant([&] { return current == header.current_bytes.load(std::memory_order_relaxed); },
            "the bytes of all call sites are the bytes of the program");
  invariant([&] { return at_peak == header.peak_bytes.load(std::memory_order_relaxed); },
            "the bytes of all call sites at the peak are the peak");
}

/// Audits the totals so seldom that it costs a constant time an event.
inline void audit_totals_sometimes(const ExclusiveGuard& guard, segment::View view) {
  static std::uint64_t events_until_next = 0;
  if (events_until_next == 0) {
    audit_totals(guard, view);
    events_until_next = 1000 + view.header().site_count.load(std::memory_order_relaxed);
  }
  --events_until_next;
}

/// What a call site holds is what its live blocks and mappings take: none is lost, none counted twice.
inline void audit_holders(const ExclusiveGuard& guard, segment::View view, const BlockTable& blocks,
                          const Mappings& mappings) {
  const std::uint32_t sites = view.header().site_count.load(std::memory_order_relaxed);
  const std::size_t bytes = sites * sizeof(std::int64_t);
  const Quiet quiet;
  auto* held = static_cast<std::int64_t*>(system::reserve(bytes));
  if (held == nullptr) {
    return;
  }
  const auto add = [&](SiteId site, std::int64_t each) {
    invariant([&] { return index_of(site) < sites; }, "blocks belong to call sites that exist");
    held[index_of(site)] += each;
  };
  blocks.for_each(guard, [&](Block block) { add(block.site, block.bytes); });
  mappings.for_each(guard, [&](const Range& range) { add(range.site, range.counted); });
  for (std::uint32_t i = 0; i < sites; ++i) {
    invariant([&] { return held[i] == view.counts()[i].current_bytes.load(std::memory_order_relaxed); },
              "a call site holds what its live blocks take");
  }
  system::unreserve(held, bytes);
}

}  // namespace fil::checks
