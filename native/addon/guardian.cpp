#include "guardian.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace fil::addon {
namespace {

/// The pipe ends without a word if we were killed. Whoever is dying may still make a file.
constexpr char script[] =
    "read -r word; [ \"$word\" = done ] && exit 0; for attempt in 1 2 3 4 5; do rm -rf -- \"$1\" && exit 0; sleep 0.2; "
    "done";

/// Between fork and exec: nothing but system calls, as other threads' locks may be held for ever.
[[noreturn]] void become_guardian(int pipe, const char* directory) {
  setsid();
  // Its child is nobody's of ours.
  if (const pid_t guardian = fork(); guardian != 0) {
    _exit(guardian < 0 ? 1 : 0);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = open("/dev/null", O_RDWR);
  dup2(pipe, STDIN_FILENO);
  dup2(nothing, STDOUT_FILENO);
  dup2(nothing, STDERR_FILENO);
  (void)!chdir("/");
  const char* const arguments[] = {"sh", "-c", script, "fil-guardian", directory, nullptr};
  const char* const environment[] = {"PATH=/usr/bin:/bin", nullptr};
  execve("/bin/sh", const_cast<char* const*>(arguments), const_cast<char* const*>(environment));
  _exit(1);
}

}  // namespace

Guardian::Guardian(const std::string& directory) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe2");
  }
  const pid_t child = fork();
  if (child == 0) {
    become_guardian(ends[0], directory.c_str());
  }
  const int error = errno;
  close(ends[0]);
  int status = 1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (child < 0 || status != 0) {
    close(ends[1]);
    throw std::system_error(child < 0 ? error : EAGAIN, std::generic_category(), "fork");
  }
  pipe_ = ends[1];
}

Guardian::~Guardian() {
  if (pipe_ >= 0) {
    close(pipe_);
  }
}

void Guardian::dismiss() {
  if (pipe_ >= 0) {
    // It may be gone: somebody has killed it. Node ignores SIGPIPE.
    (void)!write(pipe_, "done\n", 5);
    close(pipe_);
    pipe_ = -1;
  }
}

}  // namespace fil::addon
