#include "supervisor.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace fil::addon {
namespace {

/// The signals that we don't take over: those that can't be, those about ourselves (a crash, our own children, pipes
/// and limits), and those that the C library and Node use.
constexpr int own_signals[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP,
                               SIGABRT, SIGSYS,  SIGCHLD, SIGPIPE, SIGPROF, SIGXCPU, SIGXFSZ};
/// Glibc keeps 32 and 33 for itself.
constexpr int first_real_time_signal = 34;
constexpr int last_signal = 64;
/// After the child's end, so long no signal ends us: the one that ended it may still come, as to the whole group.
constexpr long grace_milliseconds = 500;

// Read by signal handlers.
std::atomic<pid_t> child_pid{0};
std::atomic<long> ended_at_milliseconds{0};
std::atomic<int> request_pipe{-1};
std::atomic<bool> reports{false};
static_assert(std::atomic<pid_t>::is_always_lock_free && std::atomic<long>::is_always_lock_free);

long now_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

bool is_taken_over(int signal) {
  for (const int own : own_signals) {
    if (signal == own) {
      return false;
    }
  }
  return signal < 32 || signal >= first_real_time_signal;
}

void set_default(int signal) {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
}

/// What a process asked for that takes more than a handler can do.
struct Request {
  enum class Kind { report, proceed };
  Kind kind;
  /// Who asked; 0 if the system did.
  pid_t sender;
  /// The child got the signal, and passed it on.
  bool by_child;
  long milliseconds;
};

void ask(Request::Kind kind, pid_t sender, bool by_child) {
  const Request request{kind, sender, by_child, now_milliseconds()};
  // Atomic, as it is short. A full pipe holds hundreds of the same already.
  (void)!write(request_pipe.load(std::memory_order_relaxed), &request, sizeof(request));
}

/// The terminal signals the whole process group; but the end of a connection only the leader of the session, where that
/// is us and not a shell.
bool reached_child_too(int signal, const siginfo_t& info) {
  return info.si_code == SI_KERNEL && !(signal == SIGHUP && getsid(0) == getpid());
}

void on_signal(int signal, siginfo_t* info, void*) {
  const int error = errno;
  const pid_t child = child_pid.load(std::memory_order_acquire);
  if (child == 0) {
    // The report is being written, and somebody insists.
    const bool deadly = signal == SIGINT || signal == SIGTERM || signal == SIGQUIT || signal == SIGHUP;
    if (deadly && now_milliseconds() - ended_at_milliseconds.load(std::memory_order_relaxed) > grace_milliseconds) {
      set_default(signal);
      raise(signal);
    }
  } else if (signal == SIGUSR2 && reports.load(std::memory_order_relaxed)) {
    const bool by_child = info->si_code == SI_QUEUE && info->si_pid == child;
    ask(Request::Kind::report, by_child ? info->si_value.sival_int : info->si_pid, by_child);
  } else if (signal == SIGCONT) {
    ask(Request::Kind::proceed, info->si_pid, false);
  } else if (!reached_child_too(signal, *info) && info->si_pid != child) {
    // What the child sends to its parent is not for itself.
    kill(child, signal);
  }
  errno = error;
}

void take_over(int signal) {
  struct sigaction action{};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

/// Stops this process by the signal that stopped the child: a shell tells its user which one it was.
void stop_likewise(int signal) {
  if (signal != SIGSTOP) {
    set_default(signal);
  }
  raise(signal);
  if (signal != SIGSTOP) {
    take_over(signal);
  }
}

ChildEvent wait_for_end(pid_t child) {
  for (;;) {
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WSTOPPED | WNOWAIT) != 0) {
      if (errno == EINTR) {
        continue;
      }
      return {ChildEvent::Kind::exited, 1};
    }
    if (info.si_code == CLD_STOPPED || info.si_code == CLD_TRAPPED) {
      waitid(P_PID, static_cast<id_t>(child), &info, WSTOPPED | WNOHANG);
      if (info.si_code == CLD_STOPPED) {
        stop_likewise(info.si_status);
      }
      continue;
    }
    // No signal for a pid that may soon be another's.
    ended_at_milliseconds.store(now_milliseconds(), std::memory_order_relaxed);
    child_pid.store(0, std::memory_order_release);
    waitid(P_PID, static_cast<id_t>(child), &info, WEXITED);
    const auto kind = info.si_code == CLD_EXITED ? ChildEvent::Kind::exited : ChildEvent::Kind::killed;
    return {kind, info.si_status};
  }
}

/// A line of /proc/PID/status, behind its name; empty if the process has gone.
std::string status_line(pid_t process, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, name.size() + 2, name + ":\t") == 0) {
      return line.substr(name.size() + 2);
    }
  }
  return {};
}

/// By /proc, as its stop has been waited for.
bool is_stopped(pid_t process) {
  return status_line(process, "State").compare(0, 1, "T") == 0;
}

bool catches(pid_t process, int signal) {
  const std::string mask = status_line(process, "SigCgt");
  return !mask.empty() && (std::strtoull(mask.c_str(), nullptr, 16) >> (signal - 1) & 1) != 0;
}

/// Reports that were asked for at the child and at us by one signal to both, as to a process group, are one.
class ReportRequests {
 public:
  /// Whether a request is not the other half of one before.
  bool is_new(const Request& request) {
    const bool same = last_.sender == request.sender && last_.by_child != request.by_child &&
                      request.milliseconds - last_.milliseconds <= both_within_milliseconds;
    last_ = same ? Request{} : request;
    return !same;
  }

 private:
  static constexpr long both_within_milliseconds = 100;
  Request last_{};
};

void serve_requests(int pipe, pid_t child, const std::function<void(ChildEvent)>& on_event) {
  ReportRequests seen;
  for (;;) {
    Request request{};
    const ssize_t count = read(pipe, &request, sizeof(request));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count != sizeof(request)) {
      return;
    }
    const bool lives = child_pid.load(std::memory_order_acquire) == child;
    switch (request.kind) {
      case Request::Kind::report:
        // The program may have a handler of its own for it. Before it has ours, or one, it would be killed.
        if (!request.by_child && lives && request.sender != child && catches(child, SIGUSR2)) {
          sigqueue(child, SIGUSR2, sigval{});
        }
        if (seen.is_new(request)) {
          on_event({ChildEvent::Kind::report_asked, 0});
        }
        break;
      case Request::Kind::proceed:
        // Sent to the whole group, as a shell does, it has reached the child. Else it was meant for it.
        usleep(5000);
        if (lives && is_stopped(child)) {
          kill(child, SIGCONT);
        }
        break;
    }
  }
}

/// Threads of ours take no signals: Node's main thread does, whose handlers are ours.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all{};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

void supervise(pid_t child, bool takes_report_signal, std::function<void(ChildEvent)> on_event) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe2");
  }
  request_pipe.store(ends[1], std::memory_order_relaxed);
  reports.store(takes_report_signal, std::memory_order_relaxed);
  child_pid.store(child, std::memory_order_release);
  {
    const SignalsBlocked blocked;
    std::thread(serve_requests, ends[0], child, on_event).detach();
    std::thread([child, on_event = std::move(on_event)] {
      // The stop of this process is a signal that this thread sends itself.
      sigset_t stops{};
      for (const int signal : {SIGTSTP, SIGTTIN, SIGTTOU}) {
        sigaddset(&stops, signal);
      }
      pthread_sigmask(SIG_UNBLOCK, &stops, nullptr);
      on_event(wait_for_end(child));
    }).detach();
  }
  for (int signal = 1; signal <= last_signal; ++signal) {
    if (is_taken_over(signal)) {
      take_over(signal);
    }
  }
}

void end_with_status(int status) {
  _exit(status);
}

void end_by_signal(int signal) {
  // The core is the child's to leave.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
  set_default(signal);
  sigset_t only{};
  sigemptyset(&only);
  sigaddset(&only, signal);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  raise(signal);
  // Not deadly by default, and so no way to end: the status that shells give it.
  _exit(128 + signal);
}

}  // namespace fil::addon
