// The segment: shared memory that one tracker writes and the Node side reads, during the run and after the writer's
// death.
//
// Promises to the reader
//  - Whatever moment the writer is killed at, the sum of bytes_at_peak() over all sites is the exact peak before or
//  after the event
//    that was under way. Header::current_bytes may lag by that one event: report from the sums.
//  - Sites, codes and strings below their counts are complete and never change within a session.
// Threats: the writer shares its address space with arbitrary native code, so a wild store can hit the segment. A
// reader copies counts to locals, checks them against the capacities that it made itself, and never follows an offset
// unchecked.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "guard.hpp"
#include "ids.hpp"
#include "sampled.hpp"

namespace fil::segment {

/// "FILMEM01" as little-endian bytes.
inline constexpr std::uint64_t magic = 0x31304d454d4c4946;
/// Raised with every change of this header. Writer and reader refuse another version.
inline constexpr std::uint32_t layout_version = 9;

// Capacities of a segment at scale 0. With little address space a tracker uses a part of it: at scale n, 1 / 2^n of
// each.

/// Call sites of one session. 2^20 sites are 56 MiB of sparse memory; a site beyond it is charged to its caller's site.
inline constexpr std::uint32_t site_capacity = 1U << 20;
/// Code objects of one session; a code object beyond it is charged to its caller's site.
inline constexpr std::uint32_t code_capacity = 1U << 17;
/// Bytes of file and function names.
inline constexpr std::uint32_t string_capacity = 1U << 24;
/// 16,384 call sites in about a MiB.
inline constexpr std::uint32_t largest_scale = 6;

enum class State : std::uint32_t { fresh = 0, attached = 1, tracking = 2 };

/// Why figures are not exact, as bits of Header::degradations.
enum class Degradation : std::uint32_t {
  /// A table of sites, codes or names was full: new sites were charged to their callers.
  call_sites_full = 1U << 0,
  /// A stack was deeper than a thread's cache: its outermost frames are missing.
  stacks_truncated = 1U << 1,
  /// Something replaced Python's allocator during the session: some events were not seen.
  allocator_replaced = 1U << 2,
  /// No memory for our own tables: some blocks were not counted.
  tracker_memory_exhausted = 1U << 3,
  /// No memory for a thread's call stack: its blocks are counted, but at the site that it inherited or at none.
  stacks_missing = 1U << 4,
  /// So many call sites that from then on calls of a recursion were charged to its outer ones.
  recursion_folded = 1U << 5,
  /// A sampled session in which Python's allocator was not its usual one: small objects of Python were not sampled.
  small_objects_missing = 1U << 6,
};

/// What a site holds. Written only by the ledger, under its exclusive lock.
///
/// Invariant: generation <= Header::generation. saved_bytes is the site's bytes at the peak iff generation >=
/// Header::peak_generation; failure_bytes is what it held when an allocation last failed iff generation >=
/// Header::failure_generation. Where a saved value is not valid the site has not changed since, so current_bytes is it.
struct SiteCounts {
  /// Bytes live now.
  std::atomic<std::int64_t> current_bytes;
  /// Bytes at the last peak; see above.
  std::atomic<std::int64_t> saved_bytes;
  /// The header's generation when the site first changed after it was raised.
  std::atomic<std::uint64_t> generation;
  /// Bytes when an allocation last failed; see above.
  std::atomic<std::int64_t> failure_bytes;
  /// Bytes at the last peak of all processes of the tree together; likewise, with Header::joint_generation.
  std::atomic<std::int64_t> joint_bytes;
};

/// Where a site is. Written once, before Header::site_count covers it.
struct SiteFrame {
  /// Index of the caller's site; smaller than the site's own.
  std::uint32_t parent;
  /// Index into the codes, or CodeId::none.
  std::uint32_t code;
  /// Line from 1; 0 where unknown.
  std::int32_t line;
  std::uint32_t reserved;
};

/// What a row of the code table stands for. A site of another kind than Python code is memory that its caller's line
/// mapped: `line` is 0 and it has no callees.
enum class CodeKind : std::uint32_t {
  python = 0,
  /// A file on disk; only its pages in memory are counted.
  mapped_file = 1,
  /// Shared memory: anonymous, POSIX, System V, or a memfd.
  shared_memory = 2,
};

/// A code object's names: offsets into the strings, UTF-8 with surrogates replaced, not terminated. Of a mapping the
/// file name is the file's path or the shared memory's name (empty if it has none), the name is empty, and the first
/// line is a number of the shared memory, as several can have the same name.
struct CodeRecord {
  std::uint32_t filename_offset;
  std::uint32_t filename_bytes;
  std::uint32_t name_offset;
  std::uint32_t name_bytes;
  std::int32_t first_line;
  CodeKind kind;
};

struct Header {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t header_bytes;

  std::atomic<State> state;
  /// Raised by every begin, before `state` says tracking.
  std::atomic<std::uint32_t> session;
  /// Bits of Degradation.
  std::atomic<std::uint32_t> degradations;
  std::int32_t pid;
  /// CPython's PY_VERSION_HEX; 0 until the first session.
  std::uint32_t python_version_hex;
  /// 1 once Python executes code of the program, where it is tracked from its start: the program was found and
  /// compiled.
  std::atomic<std::uint32_t> program_began;

  /// CLOCK_MONOTONIC, nanoseconds. `ended` is 0 while tracking.
  std::atomic<std::uint64_t> began_nanoseconds;
  std::atomic<std::uint64_t> ended_nanoseconds;

  /// Sites, codes and string bytes in use; rows below are complete (release by the writer, acquire by the reader).
  std::atomic<std::uint32_t> site_count;
  std::atomic<std::uint32_t> code_count;
  std::atomic<std::uint32_t> string_bytes;
  /// Of the capacities above. Written before `state` first leaves fresh.
  std::uint32_t scale;

  /// Memory of the tracker's own tables at the end of the session, resident; 0 if it was not measured.
  std::atomic<std::uint64_t> own_bytes;
  /// The most that was mapped and not touched, so that it took no memory and did not count.
  std::atomic<std::int64_t> most_untouched_bytes;

  /// The ledger's totals, on a cache line of their own.
  alignas(64) std::atomic<std::int64_t> current_bytes;
  std::atomic<std::int64_t> peak_bytes;
  /// Raised, from 1, by every new peak and every failed allocation: sites save their bytes at their next change.
  std::atomic<std::uint64_t> generation;
  /// The generation that the last peak, and the last failed allocation (0 if none failed), have raised it to.
  std::atomic<std::uint64_t> peak_generation;
  std::atomic<std::uint64_t> failure_generation;
  /// Raised for the joint peak that the process has seen last (tree.hpp); 0 without a tree.
  std::atomic<std::uint64_t> joint_generation;
};

// Both artefacts compile these figures; a compiler that lays them out differently must not link.
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(sizeof(SiteCounts) == 40 && sizeof(SiteFrame) == 16 && sizeof(CodeRecord) == 24);
static_assert(offsetof(Header, current_bytes) == 128 && sizeof(Header) == 192);

constexpr std::size_t align_to_page(std::size_t bytes) {
  return (bytes + 4095) & ~std::size_t{4095};
}

/// In the header's page, which every segment has, whatever its capacities.
inline constexpr std::size_t guard_offset = 2048;
inline constexpr std::size_t failure_offset = 3072;
inline constexpr std::size_t reading_offset = 3584;
inline constexpr std::size_t sampling_offset = 1024;
/// The process as a member of a tree; tree.hpp has its layout.
inline constexpr std::size_t member_offset = 256;
inline constexpr std::size_t member_bytes = 640;
static_assert(sizeof(Header) <= member_offset && member_offset + member_bytes <= sampling_offset);
static_assert(sampling_offset + sizeof(Sampling) <= guard_offset);
static_assert(guard_offset + sizeof(Guard) <= failure_offset && failure_offset + sizeof(Failure) <= reading_offset &&
              reading_offset + sizeof(LastReading) <= 4096);
inline constexpr std::size_t counts_bytes = sizeof(SiteCounts) * site_capacity;
inline constexpr std::size_t frames_bytes = sizeof(SiteFrame) * site_capacity;
inline constexpr std::size_t codes_bytes = sizeof(CodeRecord) * code_capacity;

inline constexpr std::size_t counts_offset = align_to_page(sizeof(Header));
/// Size of a segment; sparse, so it costs only what is touched.
constexpr std::size_t bytes_at_scale(std::uint32_t scale) {
  return counts_offset + ((counts_bytes + frames_bytes + codes_bytes + string_capacity) >> scale);
}

/// With a limited address space a segment takes a 32nd of it at most: the rest is the program's.
constexpr std::uint32_t scale_for(std::size_t address_space) {
  std::uint32_t scale = 0;
  while (scale < largest_scale && bytes_at_scale(scale) > address_space / 32) {
    ++scale;
  }
  return scale;
}

/// Behind the tables, whatever their scale: what only sampled sessions have. The tracker maps it when one begins.
inline constexpr std::size_t sampled_offset = bytes_at_scale(0);
constexpr std::size_t sampled_bytes_at_scale(std::uint32_t scale) {
  return align_to_page(sizeof(Recording)) + ((sampled_halves * sizeof(SampledCounts) * site_capacity) >> scale);
}
inline constexpr std::size_t total_bytes = sampled_offset + sampled_bytes_at_scale(0);
static_assert(((counts_bytes | frames_bytes | codes_bytes) >> largest_scale) % 4096 == 0, "tables begin on pages");

/// The tables of a mapped segment.
struct View {
  std::byte* base;
  std::uint32_t scale = 0;

  Header& header() const { return *reinterpret_cast<Header*>(base); }
  Guard& guard() const { return *reinterpret_cast<Guard*>(base + guard_offset); }
  Sampling& sampling() const { return *reinterpret_cast<Sampling*>(base + sampling_offset); }
  Failure& failure() const { return *reinterpret_cast<Failure*>(base + failure_offset); }
  LastReading& last_reading() const { return *reinterpret_cast<LastReading*>(base + reading_offset); }
  SiteCounts* counts() const { return reinterpret_cast<SiteCounts*>(base + counts_offset); }
  SiteFrame* frames() const { return reinterpret_cast<SiteFrame*>(base + counts_offset + (counts_bytes >> scale)); }
  CodeRecord* codes() const {
    return reinterpret_cast<CodeRecord*>(base + counts_offset + ((counts_bytes + frames_bytes) >> scale));
  }
  char* strings() const {
    return reinterpret_cast<char*>(base + counts_offset + ((counts_bytes + frames_bytes + codes_bytes) >> scale));
  }

  std::uint32_t most_sites() const { return site_capacity >> scale; }
  std::uint32_t most_codes() const { return code_capacity >> scale; }
  std::uint32_t most_string_bytes() const { return string_capacity >> scale; }
};

/// Makes an empty, zeroed file a segment.
inline void initialize(const View& view) {
  Header& header = view.header();
  header.layout_version = layout_version;
  header.header_bytes = sizeof(Header);
  // Nothing is refused until a watcher says so.
  view.guard().admissible_bytes.store(INT64_MAX, std::memory_order_relaxed);
  view.guard().budget_bytes.store(INT64_MAX, std::memory_order_relaxed);
  header.magic = magic;
}

/// The part behind `sampled_offset`, mapped.
struct SampledView {
  std::byte* base = nullptr;
  std::uint32_t scale = 0;

  Recording& recording() const { return *reinterpret_cast<Recording*>(base); }
  /// Of the finder number `finder`, a row for each site.
  SampledCounts* counts(std::size_t finder) const {
    return reinterpret_cast<SampledCounts*>(base + align_to_page(sizeof(Recording))) +
           finder * (site_capacity >> scale);
  }
};

/// What a site held at the peak. `peak_generation` is the header's.
inline std::int64_t bytes_at_peak(const SiteCounts& site, std::uint64_t peak_generation) {
  // Pairs with the release stores in Ledger::change: a generation that is reached means that saved_bytes is complete.
  if (site.generation.load(std::memory_order_acquire) >= peak_generation) {
    return site.saved_bytes.load(std::memory_order_relaxed);
  }
  return site.current_bytes.load(std::memory_order_relaxed);
}

/// What a site held when an allocation last failed. `failure_generation` is the header's, and not 0.
inline std::int64_t bytes_at_failure(const SiteCounts& site, std::uint64_t failure_generation) {
  if (site.generation.load(std::memory_order_acquire) >= failure_generation) {  // as above
    return site.failure_bytes.load(std::memory_order_relaxed);
  }
  return site.current_bytes.load(std::memory_order_relaxed);
}

/// What a site held at the joint peak that the process has seen last. `joint_generation` is the header's.
inline std::int64_t bytes_at_joint_peak(const SiteCounts& site, std::uint64_t joint_generation) {
  if (site.generation.load(std::memory_order_acquire) >= joint_generation) {  // as above
    return site.joint_bytes.load(std::memory_order_relaxed);
  }
  return site.current_bytes.load(std::memory_order_relaxed);
}

}  // namespace fil::segment
