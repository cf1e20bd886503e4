#include "report_signal.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define FIL_EXPORT extern "C" __attribute__((visibility("default")))

namespace fil {
namespace {

using SetAction = int (*)(int signal, const struct sigaction* action, struct sigaction* before);

/// The C library's.
SetAction set_action() {
  static SetAction found = nullptr;
  if (found == nullptr) {
    found = reinterpret_cast<SetAction>(dlsym(RTLD_NEXT, "sigaction"));
  }
  return found;
}

pid_t reporter_pid = 0;
/// Instead of a process that is asked.
void (*ask_for_report)() = nullptr;
/// The process that took the signal over; forked children have only the program's action.
pid_t own_pid = 0;
/// What the program believes to be in effect. Changed with the signal blocked.
struct sigaction wanted{};

void on_signal(int signal, siginfo_t* info, void* context);

/// Puts our handler in effect, with the flags and mask that the program's handler asks for.
void install() {
  struct sigaction action = wanted;
  action.sa_sigaction = on_signal;
  if (wanted.sa_handler == SIG_DFL || wanted.sa_handler == SIG_IGN) {
    // Calls in progress go on, as if no signal had come.
    action.sa_flags = SA_RESTART | SA_ONSTACK;
  }
  action.sa_flags = (action.sa_flags | SA_SIGINFO) & ~static_cast<int>(SA_RESETHAND);
  set_action()(SIGUSR2, &action, nullptr);
}

void on_signal(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const bool is_ours = getpid() == own_pid;
  // From the reporter it comes only for the program's handler.
  if (is_ours && ask_for_report != nullptr) {
    ask_for_report();
  } else if (is_ours && info->si_pid != reporter_pid) {
    sigval sender{};
    sender.sival_int = info->si_pid;
    sigqueue(reporter_pid, SIGUSR2, sender);
  }
  const struct sigaction program = wanted;
  if ((program.sa_flags & SA_RESETHAND) != 0) {
    wanted.sa_handler = SIG_DFL;
    wanted.sa_flags &= ~static_cast<int>(SA_RESETHAND | SA_SIGINFO);
  }
  if (program.sa_handler == SIG_DFL) {
    if (!is_ours) {
      set_action()(SIGUSR2, &program, nullptr);
      raise(SIGUSR2);
    }
  } else if (program.sa_handler != SIG_IGN) {
    errno = error;
    if ((program.sa_flags & SA_SIGINFO) != 0) {
      program.sa_sigaction(signal, info, context);
    } else {
      program.sa_handler(signal);
    }
  }
  errno = error;
}

int change_action(const struct sigaction* action, struct sigaction* before) {
  if (getpid() != own_pid) {
    // A child, which may share our memory (vfork) but not the effect of its calls.
    struct sigaction old{};
    const int result = set_action()(SIGUSR2, action, &old);
    if (before != nullptr) {
      *before = old.sa_sigaction == on_signal ? wanted : old;
    }
    return result;
  }
  sigset_t only{};
  sigset_t mask{};
  sigemptyset(&only);
  sigaddset(&only, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &only, &mask);
  const struct sigaction old = wanted;
  if (action != nullptr) {
    wanted = *action;
    install();
  }
  if (before != nullptr) {
    *before = old;
  }
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  return 0;
}

}  // namespace

void take_over_report_signal(int reporter) {
  if (set_action() == nullptr || set_action()(SIGUSR2, nullptr, &wanted) != 0 || wanted.sa_handler == SIG_IGN) {
    return;
  }
  reporter_pid = reporter;
  own_pid = getpid();
  install();
}

void take_over_report_signal(void (*ask)()) {
  ask_for_report = ask;
  take_over_report_signal(0);
}

}  // namespace fil

FIL_EXPORT int sigaction(int signal, const struct sigaction* action, struct sigaction* before) {
  if (signal == SIGUSR2 && fil::own_pid != 0) {
    return fil::change_action(action, before);
  }
  const fil::SetAction real = fil::set_action();
  if (real == nullptr) {
    errno = ENOSYS;
    return -1;
  }
  return real(signal, action, before);
}

// The C library's does not go through sigaction() by its name.
FIL_EXPORT sighandler_t signal(int number, sighandler_t handler) {
  if (number == SIGUSR2 && fil::own_pid != 0) {
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    return fil::change_action(&action, &before) == 0 ? before.sa_handler : SIG_ERR;
  }
  static sighandler_t (*real)(int, sighandler_t) = nullptr;
  if (real == nullptr) {
    real = reinterpret_cast<sighandler_t (*)(int, sighandler_t)>(dlsym(RTLD_NEXT, "signal"));
  }
  return real == nullptr ? SIG_ERR : real(number, handler);
}
