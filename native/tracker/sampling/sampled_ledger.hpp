// The ledger of a sampled session: what sites held at its peak, without the bias of a noisy maximum, at a constant cost
// per event. shared/sampled.hpp says how; each of the two finders works as the exact ledger does (ledger.hpp).
#pragma once

#include "../../shared/segment.hpp"
#include "../exclusive.hpp"

namespace fil::sampling {

/// The half that a sample falls into.
enum class Half : std::uint8_t { first = 0, second = 1 };

class SampledLedger {
 public:
  SampledLedger() = default;
  SampledLedger(segment::View view, segment::SampledView sampled) : finders_(view.sampling().finders) {
    counts_[0] = sampled.counts(0);
    counts_[1] = sampled.counts(1);
  }

  /// The tables have to be zero.
  void reset(const ExclusiveGuard&) {
    for (std::size_t i = 0; i < segment::sampled_halves; ++i) {
      finders_[i].judged_bytes.store(0, std::memory_order_relaxed);
      finders_[i].peak_bytes.store(0, std::memory_order_relaxed);
      finders_[i].generation.store(1, std::memory_order_release);
    }
  }

  /// A block or mapping that is counted for certain.
  void change_exact(const ExclusiveGuard&, SiteId site, std::int64_t delta) {
    for (std::size_t i = 0; i < segment::sampled_halves; ++i) {
      read(i, site, delta, 0);
      judge(i, delta);
    }
  }

  /// A sample, by its weight.
  void change_sampled(const ExclusiveGuard&, SiteId site, Half half, std::int64_t delta) {
    const auto judging = static_cast<std::size_t>(half);
    read(1 - judging, site, 0, delta);
    prolong(1 - judging, delta);
    judge(judging, 2 * delta);
  }

 private:
  // Stores in this order, as in Ledger::change: whenever the writer is killed, the old peak is complete or the new one.
  void read(std::size_t finder, SiteId id, std::int64_t exact, std::int64_t sampled) {
    segment::SampledCounts& site = counts_[finder][index_of(id)];
    const std::uint64_t generation = finders_[finder].generation.load(std::memory_order_relaxed);
    const std::int64_t held_exact = site.exact_bytes.load(std::memory_order_relaxed);
    const std::int64_t held_sampled = site.sampled_bytes.load(std::memory_order_relaxed);
    if (site.generation.load(std::memory_order_relaxed) != generation) {
      site.saved_exact_bytes.store(held_exact, std::memory_order_release);
      site.saved_sampled_bytes.store(held_sampled, std::memory_order_release);
      site.generation.store(generation, std::memory_order_release);  // pairs with sampled_at_peak
    }
    site.exact_bytes.store(held_exact + exact, std::memory_order_release);
    site.sampled_bytes.store(held_sampled + sampled, std::memory_order_release);
  }

  /// What grows while nothing has been released since the peak belongs to it: else what was allocated between the last
  /// sample that judges and the true peak, twice the mean distance on average, would be missing.
  void prolong(std::size_t number, std::int64_t delta) {
    if (delta < 0) {
      is_over_[number] = true;
    } else if (!is_over_[number]) {
      begin_anew(number);
    }
  }

  /// The finder's peak is now.
  void begin_anew(std::size_t number) {
    segment::PeakFinder& finder = finders_[number];
    finder.generation.store(finder.generation.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  void judge(std::size_t number, std::int64_t delta) {
    segment::PeakFinder& finder = finders_[number];
    const std::int64_t judged = finder.judged_bytes.load(std::memory_order_relaxed) + delta;
    finder.judged_bytes.store(judged, std::memory_order_relaxed);
    if (judged > finder.peak_bytes.load(std::memory_order_relaxed)) {
      finder.peak_bytes.store(judged, std::memory_order_relaxed);
      is_over_[number] = false;
      begin_anew(number);
    } else if (delta < 0) {
      is_over_[number] = true;
    }
  }

  segment::PeakFinder* finders_ = nullptr;
  segment::SampledCounts* counts_[segment::sampled_halves] = {};
  /// Something was released since the finder's peak.
  bool is_over_[segment::sampled_halves] = {};
};

}  // namespace fil::sampling
