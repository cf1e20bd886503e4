// The reading side of the segment, without Node: makes it, distrusts it, copies it out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../shared/segment.hpp"

namespace fil::addon {

/// Names of code objects, a row each.
struct Codes {
  std::vector<std::string> filename;
  std::vector<std::string> qualified_name;
  std::vector<std::int32_t> first_line;
  std::vector<segment::CodeKind> kind;
};

/// A consistent copy of the ledger. Columns have one entry a site (or code), as index.d.ts says.
struct Snapshot {
  segment::State state;
  std::uint32_t session;
  std::int64_t current_bytes;
  std::int64_t peak_bytes;
  std::int32_t pid;
  std::uint32_t python_version_hex;
  double began_seconds;
  double ended_seconds;
  std::uint32_t degradations;
  std::uint64_t own_bytes;
  std::int64_t most_untouched_bytes;
  bool consistent;
  /// The last allocation that failed; `count` is 0 if none has.
  struct {
    std::uint64_t count;
    std::int64_t bytes;
    std::uint32_t site;
    std::int32_t thread;
    double at_seconds;
    bool refused;
  } failure;

  std::vector<std::uint32_t> parent;
  std::vector<std::uint32_t> code;
  std::vector<std::int32_t> line;
  std::vector<double> peak_site_bytes;
  std::vector<double> current_site_bytes;
  /// Of a sampled session; 0 and empty of others. What of the bytes at the peak stands for more than was seen.
  std::uint64_t sampling_mean_bytes;
  std::uint64_t exact_from_bytes;
  std::vector<double> peak_sampled_site_bytes;
  /// What of all current bytes was counted for certain.
  std::int64_t current_exact_bytes;
  /// Empty if no allocation has failed.
  std::vector<double> failure_site_bytes;
  /// At the peak of all processes of the tree together; empty without a tree.
  std::vector<double> joint_site_bytes;

  Codes codes;
};

/// A segment of shared memory, mapped and owned.
class SegmentReader {
 public:
  /// Throws std::system_error if there is no memory for it.
  SegmentReader();
  /// In an empty memfd that allows sealing, made by another program; owned from now on, also if this throws.
  explicit SegmentReader(int descriptor);
  /// In a file, which outlives everybody that has it mapped: makes it (it must not exist) with all its blocks, as a
  /// full disk would otherwise end the process that writes into it, and marks it as in use; or copies one that a
  /// process left. Throws std::system_error, or std::runtime_error with a sentence: that the file is no segment of this
  /// version, is cut off, or is in use.
  /// A `member` is one that a process of a tree has made, which may be writing.
  enum class Open { create, existing, member };
  SegmentReader(const std::string& path, Open how);
  ~SegmentReader();
  SegmentReader(const SegmentReader&) = delete;
  SegmentReader& operator=(const SegmentReader&) = delete;

  int descriptor() const { return descriptor_; }

  /// The header, checked. Throws std::runtime_error with the values that are wrong.
  const segment::Header& header() const;

  segment::View view() const { return view_; }

  /// @param joint_peak of the tree (tree.hpp); below 0 without one.
  Snapshot snapshot(std::int64_t joint_peak = -1) const;
  /// Whether a process that has ended held anything at the tree's peak: at next to no cost, as most of many have not.
  bool held_at_joint_peak(std::int64_t joint_peak) const;

  segment::SampledView sampled_view() const;
  /// What the recorder of a job has noted: bytes held, `seconds` apart.
  struct Points {
    std::uint32_t seconds;
    std::vector<double> bytes;
  };
  Points points() const;

  /// Names of code objects from a row on.
  Codes codes(std::uint32_t from) const;

  /// Sites in use, checked.
  std::uint32_t site_count() const;
  /// The caller of a site other than the root, checked to stand before it.
  std::uint32_t caller_of(std::uint32_t site) const;

 private:
  void map();
  void create_file(const std::string& path);
  void open_member(const std::string& path);
  void copy_file(const std::string& path);
  void write_header();
  std::uint64_t end_of_life() const;
  bool try_snapshot(Snapshot& to, std::int64_t joint_peak) const;
  segment::View scaled_view() const;
  static Codes copy_codes(const segment::View& view, std::uint32_t from, std::uint32_t code_count,
                          std::uint32_t string_bytes);

  int descriptor_ = -1;
  /// A copy of what somebody left, and not shared with anybody.
  bool is_left_ = false;
  segment::View view_{};
};

/// Whether a segment's file is held by a process that lives. Throws std::system_error if that can't be known.
bool is_in_use(const std::string& path);

}  // namespace fil::addon
