// The recorder: a process of about a megabyte beside a job, neither its child nor in its session. It wakes once
// a second, notes how much memory is held, and has a report made (by Node, which runs only meanwhile) when the job
// ends, however it ends, when it asks, and now and then.
#pragma once

#include <cstdint>

namespace fil::production {

struct RecorderStart {
  /// The job.
  int pid;
  /// Descriptors: of the segment; of the job (pidfd, -1 if the kernel has none); the end of a pipe that closes when the
  /// job becomes another program.
  int segment;
  int process;
  int replaced;
  /// Paths of Node, and of the program that it runs.
  const char* node;
  const char* program;
  /// Between reports on a timer, seconds; 0 for none.
  std::uint64_t interval_seconds;
};

/// Runs in the recorder's process and ends it.
[[noreturn]] void record(const RecorderStart& start);

}  // namespace fil::production
