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
#include <cstdio>
#include <cstring>
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

/// What a process asked for that is more than a word to the child.
enum class Request : char { report = 'r', proceed = 'c' };

void ask(Request request) {
  const char byte = static_cast<char>(request);
  // A full pipe holds thousands of the same already.
  (void)!write(request_pipe.load(std::memory_order_relaxed), &byte, 1);
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
  } else if (signal == SIGUSR2) {
    ask(Request::report);
  } else if (signal == SIGCONT) {
    ask(Request::proceed);
  } else if (info->si_code != SI_KERNEL && info->si_pid != child) {
    // What the terminal sends has reached the child too. What the child sends to its parent is not for itself.
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

/// Whether a process is stopped; by /proc, as its stop has been waited for.
bool is_stopped(pid_t process) {
  const std::string path = "/proc/" + std::to_string(process) + "/stat";
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) {
    return false;
  }
  char text[512] = {};
  const std::size_t length = std::fread(text, 1, sizeof(text) - 1, file);
  std::fclose(file);
  // The state stands behind the program's name, which can contain anything.
  const char* name_end = length == 0 ? nullptr : std::strrchr(text, ')');
  return name_end != nullptr && name_end[1] == ' ' && name_end[2] == 'T';
}

void serve_requests(int pipe, pid_t child, const std::function<void(ChildEvent)>& on_event) {
  for (;;) {
    char byte = 0;
    const ssize_t count = read(pipe, &byte, 1);
    if (count == 0 || (count < 0 && errno != EINTR)) {
      return;
    }
    switch (static_cast<Request>(byte)) {
      case Request::report:
        on_event({ChildEvent::Kind::report_asked, 0});
        break;
      case Request::proceed:
        // Sent to the whole group, as a shell does, it has reached the child. Else it was meant for it.
        usleep(5000);
        if (child_pid.load(std::memory_order_acquire) == child && is_stopped(child)) {
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

void supervise(pid_t child, std::function<void(ChildEvent)> on_event) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe2");
  }
  request_pipe.store(ends[1], std::memory_order_relaxed);
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
