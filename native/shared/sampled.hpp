// What a sampled session adds to the segment. Its ordinary columns hold estimates, from which live views draw; the
// report is made from the columns here.
//
// The peak of a noisy sum is biased: its maximum is found where the noise is high. So each sample falls into one of two
// halves by a coin, and there are two finders of the peak: one finds it in (exact + twice the first half) and reads
// what sites held then from the second half, the other the reverse. Whatever noise makes a finder choose a moment is
// independent of what is read at it. This is cross-fitting: Chernozhukov et al., "Double/debiased machine learning for
// treatment and structural parameters", The Econometrics Journal 21 (2018), section 3.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fil::segment {

inline constexpr std::size_t sampled_halves = 2;

/// What a site holds as one finder reads it: copied on the first change after the finder's peak, as in SiteCounts.
struct SampledCounts {
  /// Bytes of large blocks and mappings, which are counted each.
  std::atomic<std::int64_t> exact_bytes;
  /// Weights of the samples in the half that the finder reads.
  std::atomic<std::int64_t> sampled_bytes;
  std::atomic<std::int64_t> saved_exact_bytes;
  std::atomic<std::int64_t> saved_sampled_bytes;
  /// The saved values are those of the peak iff this is the finder's generation.
  std::atomic<std::uint64_t> generation;
};

/// One finder of the peak.
struct PeakFinder {
  /// Exact bytes and twice the weights of the half by which it judges.
  std::atomic<std::int64_t> judged_bytes;
  std::atomic<std::int64_t> peak_bytes;
  /// Raised by every new peak.
  std::atomic<std::uint64_t> generation;
};

struct Sampling {
  /// Mean distance of sampled bytes; 0 in an exact session. Written before the state says tracking.
  std::atomic<std::uint64_t> mean_bytes;
  /// Blocks of this size and more are counted each.
  std::atomic<std::uint64_t> exact_from_bytes;
  PeakFinder finders[sampled_halves];
};

/// What a job, and the recorder that watches over it, tell each other. Only of jobs that are profiled without a parent
/// of ours; see native/tracker/production/.
struct Recording {
  /// Futex, raised by the job for each thing that it asks.
  std::atomic<std::uint32_t> asked;
  /// Reports that were asked for by a signal.
  std::atomic<std::uint32_t> reports_asked;
  /// 0 while the job runs, else 1 + its exit status.
  std::atomic<std::uint32_t> ending;
  /// Futex: 1 once the recorder has nothing more to do.
  std::atomic<std::uint32_t> done;
  /// Bytes held over time; a point every `seconds_between_points` seconds, which is doubled when the rows are full.
  std::atomic<std::uint32_t> point_count;
  std::atomic<std::uint32_t> seconds_between_points;
  static constexpr std::uint32_t most_points = 512;
  std::atomic<std::int64_t> points[most_points];
};

static_assert(sizeof(SampledCounts) == 40 && sizeof(PeakFinder) == 24 && sizeof(Sampling) == 64);

/// What a finder has to tell about a site at its peak.
struct SampledAtPeak {
  std::int64_t exact_bytes;
  std::int64_t sampled_bytes;
};
inline SampledAtPeak sampled_at_peak(const SampledCounts& site, std::uint64_t generation) {
  // Pairs with the release stores in SampledLedger: a generation that is reached means that the saved values are there.
  if (site.generation.load(std::memory_order_acquire) == generation) {
    return {site.saved_exact_bytes.load(std::memory_order_relaxed),
            site.saved_sampled_bytes.load(std::memory_order_relaxed)};
  }
  return {site.exact_bytes.load(std::memory_order_relaxed), site.sampled_bytes.load(std::memory_order_relaxed)};
}

}  // namespace fil::segment
