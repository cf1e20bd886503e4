// The process's start, its forks, and its end with its parent.
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/environment.hpp"
#include "checks/checks.hpp"
#include "handed_on.hpp"
#include "nesting.hpp"
#include "process.hpp"
#include "production/job.hpp"
#include "python/program_start.hpp"
#include "python/self_test.hpp"
#include "python/uncaught.hpp"
#include "report_signal.hpp"
#include "system.hpp"
#include "thread_stacks.hpp"
#include "tracker.hpp"

namespace fil {

Setting control_endpoint{};
Setting control_key{};

namespace {

void stay_with_parent() {
  if (const char* parent = getenv(environment::parent_pid)) {
    if (!system::die_with_parent(atoi(parent))) {
      system::refuse(1, "The process that started this one has ended already.");
    }
    unsetenv(environment::parent_pid);
  }
}

void note_uncaught_memory_error() {
  tracker.note_uncaught_memory_error();
}

void begin_with_program() {
  const Nesting nesting;
  const char* problem = tracker.why_unfit();
  if (problem == nullptr && !python::frames_are_where_they_should_be()) {
    problem =
        "Fil can't read the call stacks of this Python: its internal structures differ from those of the releases on "
        "python.org. Use an unmodified final release.";
  }
  const std::uint64_t sampling_mean_bytes = production::sampling_mean_bytes();
  if (problem == nullptr && sampling_mean_bytes == 0) {
    python::watch_uncaught_memory_error(note_uncaught_memory_error);
  }
  if (problem == nullptr) {
    problem = tracker.begin(nullptr, 0, sampling_mean_bytes);
  }
  if (problem == nullptr) {
    // A job in production computes as it does without us.
    if (sampling_mean_bytes == 0) {
      tracker.limit_thread_pools();
    }
  } else if (tracker.attached()) {
    // Without a segment it has been said already.
    tracker.run_untracked(problem);
  }
}

void note_program_began() {
  // Of a program that runs untracked there is nothing to report.
  if (session_now() != 0) {
    tracker.note_program_began();
  }
}

/// If the whole program is to be tracked.
void watch_for_program() {
  const bool is_production = production::sampling_mean_bytes() != 0 && tracker.attached();
  if (getenv(environment::track_program) == nullptr && !is_production) {
    return;
  }
  unsetenv(environment::track_program);
  if (!python::watch_program({begin_with_program, note_program_began})) {
    return tracker.run_untracked(
        "This Python does not tell when the program begins (no PySys_AddAuditHook). Use an unmodified CPython.");
  }
  if (is_production) {
    production::begin();
  } else {
    take_over_report_signal(getppid());
  }
}

/// Keeps a setting for ourselves; neither the program nor what it starts shall see it. One that is too long is none.
void keep_setting(const char* name, Setting& to) {
  const char* value = getenv(name);
  if (value == nullptr) {
    return;
  }
  const std::size_t bytes = strlen(value) + 1;
  if (bytes <= sizeof(to.text)) {
    memcpy(to.text, value, bytes);
  }
  unsetenv(name);
}

void detach_in_child() {
  tracker.detach_in_child();
}

/// A program that a member of a process tree has executed.
void join_tree(const char* directory) {
  prepare_thread_stacks();
  if (pthread_atfork(nullptr, nullptr, detach_in_child) == 0 && !fails(Failpoint::watch_forks)) {
    tracker.attach_tree(directory);
  }
  unsetenv(environment::tree_directory);
  leave_preload_list();
}

bool is_called_python() {
  return strncmp(program_invocation_short_name, "python", strlen("python")) == 0;
}

[[gnu::constructor]] void start() {
  const char* tree = getenv(environment::tree_directory);
  if (const char* profile = getenv(environment::profile);
      tree == nullptr && profile != nullptr && strcmp(profile, environment::profile_workers) == 0) {
    tree = environment::standing_by;
  }
  if (tree != nullptr && getenv(environment::segment_descriptor) == nullptr) {
    return join_tree(tree);
  }
  if (dlsym(RTLD_DEFAULT, "Py_GetVersion") == nullptr) {
    // A shell that wraps Python (pyenv's shims) is only passing through: leave it the environment for the Python that
    // it will exec.
    if (getenv(environment::track_program) == nullptr || !is_called_python()) {
      return;
    }
    tracker.run_untracked(python::Interpreter::exports_nothing);
    unsetenv(environment::track_program);
    unsetenv(environment::tree_directory);
    stay_with_parent();
    leave_preload_list();
    return;
  }
  prepare_thread_stacks();
  const char* missing = production::is_asked_for() ? production::prepare() : nullptr;
  if (missing != nullptr) {
    return tracker.run_untracked(missing);
  }
  if (pthread_atfork(nullptr, nullptr, detach_in_child) == 0 && !fails(Failpoint::watch_forks)) {
    tracker.attach(production::sampling_mean_bytes() == 0 ? 0 : production::least_scale);
    if (tree != nullptr && tracker.attached()) {
      tracker.attach_tree(tree);
    }
  } else {
    // A forked child would write into its parent's figures.
    tracker.run_untracked("The C library has no memory to notice forks.");
  }
  unsetenv(environment::tree_directory);
  stay_with_parent();
  keep_setting(environment::control_endpoint, control_endpoint);
  keep_setting(environment::control_key, control_key);
  watch_for_program();
  if (!production::follows_subprocesses()) {
    leave_preload_list();
  }
}

[[gnu::destructor]] void leave() {
  tracker.leave_tree_for_good();
}

}  // namespace
}  // namespace fil

/// Referenced by tables of abstract classes; never called.
extern "C" __attribute__((visibility("hidden"))) void __cxa_pure_virtual() {
  abort();
}
