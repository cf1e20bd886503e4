// How much memory a process can still take before the kernel kills something: the least that the host and each of the
// process's control groups have left. Files in the page cache count as available, as the kernel gives them up first;
// swap does not, as a program that has to live from it stands still.
//
// Rules, from the kernel's Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst:
//  - host: MemAvailable of /proc/meminfo
//  - cgroup v1: limit_in_bytes - usage_in_bytes + total_inactive_file + total_active_file; no limit from 2^60 on (its
//    largest value is the largest page counter) nor at 0 and below
//  - cgroup v2: min(memory.max, memory.high) - memory.current + inactive_file + active_file
// A level whose files can't be read is left out.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "files.hpp"

namespace fil::memory {

enum class LevelKind : std::uint8_t {
  host,
  cgroup,
  /// Set by the user, of what the process tree itself holds.
  chosen,
};

struct Reading {
  /// May be below 0. INT64_MAX if nothing could be read.
  std::int64_t available_bytes = INT64_MAX;
  /// Of the level that has least left.
  std::int64_t limit_bytes = INT64_MAX;
  LevelKind kind = LevelKind::host;
  /// The kernel kills all processes of the control group together.
  bool kills_group = false;
  /// Directory of the control group; empty for others.
  std::string where;

  bool is_known() const { return available_bytes != INT64_MAX; }
};

class AvailableMemory {
 public:
  /// @param root prefix of all paths, for recorded trees; empty for this machine's.
  AvailableMemory(std::string root, pid_t pid);

  /// The level that has least left.
  Reading read();

  /// Swap in use on the host; 0 where there is none.
  std::int64_t swap_used_bytes() const { return swap_used_bytes_; }

  /// How often the kernel has killed for want of memory: on the host and in the process's control groups.
  std::int64_t oom_kills() const;

  /// Share of the last ten seconds in which everything stood still for want of memory, 0 to 1; of the host and of the
  /// process's control groups the highest. Nothing where the kernel doesn't say (PSI is off).
  std::optional<double> stalled_share() const;

  std::size_t level_count() const { return groups_.size(); }

 private:
  using Clock = std::chrono::steady_clock;

  /// One control group with a memory controller.
  struct Group {
    std::string directory;
    bool is_v1;
    KeptFile limit;
    /// memory.high; v2 only.
    KeptFile high;
    KeptFile usage;
    KeptFile statistics;
    bool kills_group;
    std::int64_t file_bytes = 0;
    /// What groups above this one, perhaps out of sight, allow; v1 only.
    std::int64_t hierarchical_limit_bytes = INT64_MAX;
    Clock::time_point file_bytes_read{};
  };

  void find_groups();
  void find_again_if_moved();
  void add_group(const std::string& directory, bool is_v1);
  std::optional<Reading> read_host();
  std::optional<Reading> read_group(Group& group, Clock::time_point now) const;

  std::string root_;
  pid_t pid_;
  KeptFile host_;
  std::vector<Group> groups_;
  std::string membership_;
  Clock::time_point membership_read_{};
  std::int64_t swap_used_bytes_ = 0;
};

/// What must be left before something is done: 100 MB or 2 % of the limit, but no more than a tenth of a small one (of
/// a container of 300 MB a fixed 100 MB would be a third), and not less than a report needs, 30 MB or a sixth of it.
std::int64_t default_headroom(std::int64_t limit_bytes);

/// The same for a notebook, whose cell is to be interrupted and not killed: what drawing its error and making its
/// report take comes on top, as far as a fifth of the limit suffices for both.
std::int64_t default_guard_headroom(std::int64_t limit_bytes);

}  // namespace fil::memory
