// The interposers of calls by which a process becomes another program, starts one, or ends: what it starts gets the
// tracker and the tree by its environment, in which the program itself never sees them. In a child of vfork, which runs
// in its parent's memory, nothing here may change that memory.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handed_on.hpp"
#include "nesting.hpp"
#include "real_functions.hpp"
#include "tracker.hpp"

#define FIL_EXPORT extern "C" __attribute__((visibility("default")))

namespace fil {
namespace {

/// Runs `action(environment)` with what the program is to get. On this thread's stack, as the heap can be another
/// process's.
template <class Action>
auto with_environment(const char* file, Search search, char* const* environment, Action action) {
  const std::size_t count = HandedOn::entries_of(environment);
  char* entries[count + HandedOn::more_entries + 1];
  HandedOn handed;
  return action(handed.prepare(tracker.tree_directory(), file, search, environment, entries));
}

template <class Execute>
int execute(const char* file, Search search, char* const* environment, Execute call) {
  if (tracker.tree_directory()[0] == '\0') {
    return call(environment);
  }
  tracker.before_exec();
  const int result = with_environment(file, search, environment, call);
  tracker.after_failed_exec();
  return result;
}

template <class Spawn>
int spawn(const char* file, Search search, char* const* environment, Spawn call) {
  return tracker.tree_directory()[0] == '\0' ? call(environment) : with_environment(file, search, environment, call);
}

/// The arguments of execl() and its relatives, up to the null that ends them.
std::size_t count_arguments(va_list rest) {
  std::size_t count = 1;
  while (va_arg(rest, char*) != nullptr) {
    ++count;
  }
  return count;
}
void take_arguments(va_list rest, const char* first, char** to) {
  *to = const_cast<char*>(first);
  while (*to != nullptr) {
    *++to = va_arg(rest, char*);
  }
}

pthread_mutex_t shell_lock = PTHREAD_MUTEX_INITIALIZER;
unsigned shells = 0;
struct sigaction interrupt_before{};
struct sigaction quit_before{};

/// system(), as POSIX describes it: the C library's own starts the shell past our interposers.
int run_shell(const char* command) {
  struct sigaction ignored{};
  ignored.sa_handler = SIG_IGN;
  sigemptyset(&ignored.sa_mask);
  sigset_t child_signal;
  sigset_t mask_before;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);

  pthread_mutex_lock(&shell_lock);
  if (shells++ == 0) {
    sigaction(SIGINT, &ignored, &interrupt_before);
    sigaction(SIGQUIT, &ignored, &quit_before);
  }
  sigset_t defaults;
  sigemptyset(&defaults);
  if (interrupt_before.sa_handler != SIG_IGN) {
    sigaddset(&defaults, SIGINT);
  }
  if (quit_before.sa_handler != SIG_IGN) {
    sigaddset(&defaults, SIGQUIT);
  }
  pthread_mutex_unlock(&shell_lock);
  pthread_sigmask(SIG_BLOCK, &child_signal, &mask_before);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &mask_before);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  char* const arguments[] = {const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>("--"),
                             const_cast<char*>(command), nullptr};
  pid_t shell = -1;
  int status = 0;
  const int error = spawn("/bin/sh", Search::none, environ, [&](char* const* environment) {
    return real.posix_spawn(&shell, "/bin/sh", nullptr, &attributes, arguments, environment);
  });
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    // As if the shell had ended so.
    status = 127 << 8;
  } else {
    while (waitpid(shell, &status, 0) < 0) {
      if (errno != EINTR) {
        status = -1;
        break;
      }
    }
  }
  const int saved_errno = errno;
  pthread_mutex_lock(&shell_lock);
  if (--shells == 0) {
    sigaction(SIGINT, &interrupt_before, nullptr);
    sigaction(SIGQUIT, &quit_before, nullptr);
  }
  pthread_mutex_unlock(&shell_lock);
  pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  errno = error != 0 ? error : saved_errno;
  return status;
}

/// Writes `text` as one word of the shell, and returns where it ends: in quotes, of which it has none then.
char* write_word(char* to, const char* text) {
  *to++ = '\'';
  for (; *text != '\0'; ++text) {
    if (*text == '\'') {
      to = stpcpy(to, "'\\''");
    } else {
      *to++ = *text;
    }
  }
  *to++ = '\'';
  *to = '\0';
  return to;
}
/// The most that write_word() writes.
std::size_t word_bytes(const char* text) {
  return 4 * strlen(text) + 3;
}

/// An argument of a program can't be longer (MAX_ARG_STRLEN).
constexpr std::size_t longest_argument = 128 * 1024;

/// popen(): the C library's own, whose streams are of a kind of their own, starts the shell past our interposers, with
/// the environment that stands. So the shell gives itself ours, and becomes the one that was asked for.
FILE* open_shell(const char* command, const char* mode) {
  return with_environment("/bin/sh", Search::none, environ, [&](char* const* environment) {
    const char* ours[HandedOn::more_entries] = {};
    const std::size_t count = HandedOn::own_entries(environment, environ, ours);
    std::size_t bytes = word_bytes(command) + sizeof("export  ; exec /bin/sh -c --  sh");
    for (std::size_t i = 0; i < count; ++i) {
      bytes += word_bytes(ours[i]) + 1;
    }
    auto* line = count == 0 || bytes > longest_argument ? nullptr : static_cast<char*>(real.malloc(bytes));
    if (line == nullptr) {
      return real.popen(command, mode);
    }
    char* end = stpcpy(line, "export");
    for (std::size_t i = 0; i < count; ++i) {
      *end++ = ' ';
      end = write_word(end, ours[i]);
    }
    end = write_word(stpcpy(end, "; exec /bin/sh -c -- "), command);
    // By which the shell calls itself.
    stpcpy(end, " sh");
    FILE* stream = real.popen(line, mode);
    const int saved_errno = errno;
    real.free(line);
    errno = saved_errno;
    return stream;
  });
}

}  // namespace
}  // namespace fil

using fil::real;
using fil::Search;

FIL_EXPORT int execve(const char* path, char* const* arguments, char* const* environment) {
  return fil::execute(path, Search::none, environment,
                      [&](char* const* handed) { return real.execve(path, arguments, handed); });
}

FIL_EXPORT int execv(const char* path, char* const* arguments) {
  return fil::execute(path, Search::none, environ,
                      [&](char* const* handed) { return real.execve(path, arguments, handed); });
}

FIL_EXPORT int execvp(const char* file, char* const* arguments) {
  return fil::execute(file, Search::path, environ,
                      [&](char* const* handed) { return real.execvpe(file, arguments, handed); });
}

FIL_EXPORT int execvpe(const char* file, char* const* arguments, char* const* environment) {
  return fil::execute(file, Search::path, environment,
                      [&](char* const* handed) { return real.execvpe(file, arguments, handed); });
}

FIL_EXPORT int fexecve(int descriptor, char* const* arguments, char* const* environment) {
  char path[32];
  fil::name_of_descriptor(descriptor, path);
  return fil::execute(path, Search::none, environment,
                      [&](char* const* handed) { return real.fexecve(descriptor, arguments, handed); });
}

#define FIL_TAKE_ARGUMENTS(first)                       \
  va_list rest;                                         \
  va_start(rest, first);                                \
  const std::size_t count = fil::count_arguments(rest); \
  va_end(rest);                                         \
  char* arguments[count + 1];                           \
  va_start(rest, first);                                \
  fil::take_arguments(rest, first, arguments)

FIL_EXPORT int execl(const char* path, const char* first, ...) {
  FIL_TAKE_ARGUMENTS(first);
  va_end(rest);
  return execv(path, arguments);
}

FIL_EXPORT int execlp(const char* file, const char* first, ...) {
  FIL_TAKE_ARGUMENTS(first);
  va_end(rest);
  return execvp(file, arguments);
}

FIL_EXPORT int execle(const char* path, const char* first, ...) {
  FIL_TAKE_ARGUMENTS(first);
  char* const* environment = va_arg(rest, char* const*);
  va_end(rest);
  return execve(path, arguments, environment);
}

FIL_EXPORT int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                           const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return fil::spawn(path, Search::none, environment, [&](char* const* handed) {
    return real.posix_spawn(pid, path, actions, attributes, arguments, handed);
  });
}

FIL_EXPORT int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                            const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return fil::spawn(file, Search::path, environment, [&](char* const* handed) {
    return real.posix_spawnp(pid, file, actions, attributes, arguments, handed);
  });
}

FIL_EXPORT int system(const char* command) {
  return command == nullptr || fil::tracker.tree_directory()[0] == '\0' ? real.system(command)
                                                                        : fil::run_shell(command);
}

FIL_EXPORT FILE* popen(const char* command, const char* mode) {
  return command == nullptr || fil::tracker.tree_directory()[0] == '\0' ? real.popen(command, mode)
                                                                        : fil::open_shell(command, mode);
}

FIL_EXPORT [[noreturn]] void _exit(int status) {
  fil::tracker.leave_tree_for_good();
  real._exit(status);
  __builtin_unreachable();
}

FIL_EXPORT [[noreturn]] void _Exit(int status) {
  _exit(status);
}
