#include "recorder.hpp"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../shared/segment.hpp"
#include "../checks/checks.hpp"
#include "../system.hpp"
#include "memory_left.hpp"

extern char** environ;

namespace fil::production {
namespace {

constexpr std::uint64_t second = 1'000'000'000U;
/// Longer takes no report; whatever hangs then must not stay.
constexpr std::uint64_t longest_report_seconds = 60;
/// Node takes 15 MB of memory of its own while it makes a report, and more for many call sites. With less than this
/// left it could be what has the job killed: its control group may go as a whole, as Kubernetes has it.
constexpr std::int64_t least_left_bytes = 40'000'000;
/// Node reserves 1.7 GB of addresses; with less it aborts, or hangs while it looks for some.
constexpr std::uint64_t least_address_space = 2'000'000'000;
/// How long the last report waits for the memory that the end of the job gives back.
constexpr std::uint64_t longest_wait_seconds = 10;

// Descriptors of the recorder, and of Node: beside standard input, output and error.
constexpr int segment_number = 3;
constexpr int process_number = 4;
constexpr int replaced_number = 5;

class Recorder {
 public:
  explicit Recorder(const RecorderStart& start) : start_(start) {}

  [[noreturn]] void run() {
    if (!settle()) {
      _exit(1);
    }
    began_ = system::now_nanoseconds();
    std::uint64_t next_report = began_ + start_.interval_seconds * second;
    recording_->seconds_between_points.store(1, std::memory_order_relaxed);
    std::uint32_t reports_made = 0;
    // Why a report is due; null if none is.
    const char* due = nullptr;
    for (;;) {
      wait();
      note_point();
      if (const std::uint32_t ending = recording_->ending.load(std::memory_order_relaxed); ending != 0) {
        finish("exit", ending - 1);
      }
      if (has_died()) {
        finish("died", 0);
      }
      if (was_replaced()) {
        finish("replaced", 0);
      }
      const std::uint32_t asked = recording_->reports_asked.load(std::memory_order_relaxed);
      if (asked != reports_made) {
        reports_made = asked;
        due = "signal";
      } else if (due == nullptr && start_.interval_seconds != 0 && system::now_nanoseconds() >= next_report) {
        due = "timer";
      }
      if (due != nullptr && has_memory_for_report()) {
        report(due, 0);
        due = nullptr;
        next_report = system::now_nanoseconds() + start_.interval_seconds * second;
      } else if (due != nullptr) {
        tell_put_off();
      }
    }
  }

 private:
  /// Lets go of all that is the job's, but for its standard error.
  bool settle() {
    setsid();
    sigset_t all{};
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, nullptr);
    prctl(PR_SET_NAME, "fil-recorder");
    prctl(PR_SET_PDEATHSIG, 0);
    read_command();
    const int nothing = open("/dev/null", O_RDWR);
    // Above all that they are moved to.
    const int segment = fcntl(start_.segment, F_DUPFD, 16);
    const int process = start_.process < 0 ? -1 : fcntl(start_.process, F_DUPFD, 16);
    const int replaced = fcntl(start_.replaced, F_DUPFD, 16);
    if (nothing < 0 || segment < 0 || replaced < 0) {
      return false;
    }
    has_process_ = process >= 0;
    dup2(nothing, STDIN_FILENO);
    dup2(nothing, STDOUT_FILENO);
    dup2(segment, segment_number);
    dup2(replaced, replaced_number);
    if (has_process_) {
      dup2(process, process_number);
    }
    syscall(SYS_close_range, replaced_number + 1, ~0U, 0);
    // If memory runs out, we are to go first.
    if (const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); score >= 0) {
      (void)!::write(score, "1000", 4);
      close(score);
    }
    auto* base = static_cast<std::byte*>(system::map_shared(segment_number, segment::counts_offset));
    auto* sampled = static_cast<std::byte*>(system::map_shared(
        segment_number, segment::align_to_page(sizeof(segment::Recording)), segment::sampled_offset));
    if (base == nullptr || sampled == nullptr) {
      return false;
    }
    header_ = &segment::View{base}.header();
    recording_ = &segment::SampledView{sampled}.recording();
    snprintf(started_, sizeof(started_), "%lld", static_cast<long long>(time(nullptr)));
    return true;
  }

  /// While the job can still be asked. Arguments are separated by the unit separator, as Node has no zeros in
  /// arguments.
  void read_command() {
    const int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    const ssize_t bytes = file < 0 ? 0 : read(file, command_, sizeof(command_) - 1);
    for (ssize_t i = 0; i < bytes; ++i) {
      command_[i] = command_[i] == '\0' ? '\x1f' : command_[i];
    }
    if (file >= 0) {
      close(file);
    }
  }

  /// Until something is asked, or for a second.
  void wait() {
    const timespec moment{1, 0};
    syscall(SYS_futex, &recording_->asked, FUTEX_WAIT, asked_, &moment, nullptr, 0);
    asked_ = recording_->asked.load(std::memory_order_acquire);
  }

  static bool is_ready(int descriptor) {
    pollfd look{descriptor, POLLIN, 0};
    return poll(&look, 1, 0) == 1 && (look.revents & (POLLIN | POLLHUP)) != 0;
  }

  bool has_died() const {
    return has_process_ ? is_ready(process_number) : kill(start_.pid, 0) == -1 && errno == ESRCH;
  }

  /// Whether the job has become another program, whose memory this is not. It may also only have closed the pipe.
  bool was_replaced() {
    if (!watches_pipe_ || !is_ready(replaced_number)) {
      return false;
    }
    watches_pipe_ = false;
    return !maps_segment();
  }

  bool maps_segment() const {
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/maps", start_.pid);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
      return false;
    }
    constexpr char name[] = "memfd:filprofiler";
    constexpr std::size_t overlap = sizeof(name);
    char text[4096 + overlap] = {};
    std::size_t kept = 0;
    bool found = false;
    for (ssize_t bytes = 0; !found && (bytes = read(file, text + kept, 4096)) > 0;) {
      const std::size_t have = kept + static_cast<std::size_t>(bytes);
      found = memmem(text, have, name, sizeof(name) - 1) != nullptr;
      kept = have < overlap ? have : overlap;
      memmove(text, text + have - kept, kept);
    }
    close(file);
    return found;
  }

  /// Halves the number of points when there is no room for another.
  void note_point() {
    const std::uint64_t elapsed = (system::now_nanoseconds() - began_) / second;
    std::uint32_t apart = recording_->seconds_between_points.load(std::memory_order_relaxed);
    std::uint32_t count = recording_->point_count.load(std::memory_order_relaxed);
    if (elapsed < std::uint64_t{count} * apart) {
      return;
    }
    if (count == segment::Recording::most_points) {
      count /= 2;
      for (std::uint32_t i = 0; i < count; ++i) {
        recording_->points[i].store(recording_->points[2 * i].load(std::memory_order_relaxed),
                                    std::memory_order_relaxed);
      }
      apart *= 2;
      recording_->seconds_between_points.store(apart, std::memory_order_relaxed);
      recording_->point_count.store(count, std::memory_order_release);
      return;
    }
    const std::int64_t bytes = header_->current_bytes.load(std::memory_order_relaxed);
    recording_->points[count].store(bytes < 0 ? 0 : bytes, std::memory_order_relaxed);
    recording_->point_count.store(count + 1, std::memory_order_release);
  }

  [[noreturn]] void finish(const char* reason, std::uint32_t status) {
    const std::uint64_t deadline = system::now_nanoseconds() + longest_wait_seconds * second;
    bool has_memory = has_memory_for_report();
    if (!has_memory) {
      // The job's own memory is needed for it: what it held is in the segment, which stays.
      let_go();
      while (!has_memory && system::now_nanoseconds() < deadline) {
        const timespec moment{0, 50'000'000};
        nanosleep(&moment, nullptr);
        has_memory = has_memory_for_report();
      }
    }
    // Where the job is gone, there is nothing that could be hurt.
    if (has_memory || has_died()) {
      report(reason, status);
    } else {
      char why[96];
      snprintf(why, sizeof(why), "%lld MB of memory have to be left for it, and %lld MB are",
               static_cast<long long>(least_left_bytes / 1'000'000), static_cast<long long>(left_ / 1'000'000));
      tell(why);
    }
    let_go();
    _exit(0);
  }

  /// The end of the job waits no longer.
  void let_go() {
    recording_->done.store(1, std::memory_order_release);  // pairs with at_exit
    syscall(SYS_futex, &recording_->done, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
  }

  bool has_memory_for_report() {
    left_ = fails(Failpoint::production_memory) ? 0 : memory_left("", 0);
    return left_ >= least_left_bytes;
  }

  /// How many bytes of addresses Node may have: this process, which is not the job, goes to the hard limit.
  static std::uint64_t lifted_address_space() {
    rlimit limit{};
    if (getrlimit(RLIMIT_AS, &limit) != 0) {
      return RLIM_INFINITY;
    }
    const rlimit hard{limit.rlim_max, limit.rlim_max};
    return setrlimit(RLIMIT_AS, &hard) == 0 ? hard.rlim_cur : limit.rlim_cur;
  }

  /// Has a report made, if there is anything to report.
  void report(const char* reason, std::uint32_t status) {
    if (header_->program_began.load(std::memory_order_acquire) == 0) {
      return;
    }
    if (const std::uint64_t limit = lifted_address_space(); limit < least_address_space) {
      char why[128];
      snprintf(why, sizeof(why), "%llu MB of addresses are needed for it, and %llu MB are allowed (ulimit -v)",
               static_cast<unsigned long long>(least_address_space / 1'000'000),
               static_cast<unsigned long long>(limit / 1'000'000));
      return tell(why);
    }
    int answers[2];
    if (pipe2(answers, O_CLOEXEC) != 0) {
      return tell("there are no descriptors left");
    }
    const pid_t node = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (node == 0) {
      become_node(answers[1], reason, status);
    }
    close(answers[1]);
    if (node < 0) {
      close(answers[0]);
      return tell("no process could be started for it");
    }
    const int result = wait_for(node);
    char answer[512];
    const ssize_t bytes = result == 0 ? 0 : read(answers[0], answer, sizeof(answer) - 1);
    close(answers[0]);
    if (result != 0) {
      answer[bytes < 0 ? 0 : bytes] = '\0';
      answer[strcspn(answer, "\r\n")] = '\0';
      tell(answer[0] == '\0' ? "the program that makes it has failed" : answer);
    }
  }

  /// The exit status; -1 if it was killed or took too long.
  static int wait_for(pid_t child) {
    const std::uint64_t deadline = system::now_nanoseconds() + longest_report_seconds * second;
    for (;;) {
      int status = 0;
      const pid_t ended = waitpid(child, &status, WNOHANG);
      if (ended == child) {
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      if (ended == -1 && errno != EINTR) {
        return -1;
      }
      if (system::now_nanoseconds() >= deadline) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return -1;
      }
      const timespec moment{0, 10'000'000};
      nanosleep(&moment, nullptr);
    }
  }

  [[noreturn]] void become_node(int answers, const char* reason, std::uint32_t status) {
    sigset_t none{};
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    dup2(answers, STDOUT_FILENO);
    // What Node itself says is more than one line; the descriptor would also keep a reader of the job's waiting.
    dup2(STDIN_FILENO, STDERR_FILENO);
    setpriority(PRIO_PROCESS, 0, 10);
    char pid[16];
    char number[16];
    char place[32];
    snprintf(pid, sizeof(pid), "%d", start_.pid);
    snprintf(number, sizeof(number), "%u", status);
    snprintf(place, sizeof(place), "/proc/self/fd/%d", segment_number);
    const char* arguments[] = {start_.node,    "--no-warnings", "--max-old-space-size=512",
                               start_.program, "record",        "--segment",
                               place,          "--pid",         pid,
                               "--reason",     reason,          "--status",
                               number,         "--started",     started_,
                               "--command",    command_,        nullptr};
    execve(start_.node, const_cast<char* const*>(arguments), clean_environment());
    _exit(127);
  }

  /// Without what would have Node or its children profiled, or change Node.
  static char** clean_environment() {
    static char* kept[4096];
    std::size_t count = 0;
    for (char** each = environ; *each != nullptr && count + 1 < sizeof(kept) / sizeof(kept[0]); ++each) {
      const auto is = [&](const char* name) { return strncmp(*each, name, strlen(name)) == 0; };
      if (!is("LD_PRELOAD=") && !is("FIL_PROFILE=") && !is("NODE_OPTIONS=") && !is("FIL_SEGMENT_DESCRIPTOR=")) {
        kept[count++] = *each;
      }
    }
    kept[count] = nullptr;
    return kept;
  }

  void tell_put_off() {
    if (!has_told_) {
      has_told_ = true;
      char line[256];
      snprintf(line, sizeof(line),
               "The memory report of process %d waits until %lld MB of memory are left (now %lld MB). The job goes on.",
               start_.pid, static_cast<long long>(least_left_bytes / 1'000'000),
               static_cast<long long>(left_ / 1'000'000));
      system::say(line);
    }
  }

  /// One line for the whole job.
  void tell(const char* why) {
    if (!has_told_) {
      has_told_ = true;
      char line[768];
      snprintf(line, sizeof(line), "The memory report of process %d could not be written: %s. The job goes on.",
               start_.pid, why);
      system::say(line);
    }
  }

  RecorderStart start_;
  segment::Header* header_ = nullptr;
  segment::Recording* recording_ = nullptr;
  std::uint64_t began_ = 0;
  std::uint32_t asked_ = 0;
  /// Bytes, when they were last looked at.
  std::int64_t left_ = 0;
  bool has_process_ = false;
  bool watches_pipe_ = true;
  bool has_told_ = false;
  char started_[24] = {};
  char command_[4096] = {};
};

}  // namespace

void record(const RecorderStart& start) {
  Recorder recorder(start);
  recorder.run();
}

}  // namespace fil::production
