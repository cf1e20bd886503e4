// The processes that the watched one started, and what they hold.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "files.hpp"

namespace fil::memory {

struct Process {
  pid_t pid;
  /// Resident memory; pages that processes share count for each of them.
  std::int64_t resident_bytes;
};

class ProcessTree {
 public:
  /// @param root prefix of /proc, for recorded trees.
  /// @param pid of the process at the top.
  ProcessTree(std::string root, pid_t pid);

  /// Looks for processes that have come or gone: descendants of the top one, and members of its session if it leads
  /// one (a daemon has another parent). Reads every process of the machine, about 10 µs each.
  void find();

  /// What the processes that were found hold now, the top one first; those that have ended are left out.
  std::vector<Process> processes();

  /// What the top process alone holds.
  std::int64_t top_resident_bytes() const;

  /// Memory of all of them that is swapped out.
  std::int64_t swapped_bytes() const;

  /// The command of a process, for people; empty if it has ended.
  std::string command_of(pid_t pid) const;

 private:
  std::int64_t resident_bytes_of(pid_t pid) const;

  std::string root_;
  pid_t pid_;
  KeptFile top_;
  std::vector<pid_t> others_;
};

}  // namespace fil::memory
