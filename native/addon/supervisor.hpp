// Stands in for a child process towards whoever started us: passes signals on to it, stops and continues with it, and
// tells how it ended. Without Node.
//
// The child is in our process group, so that a terminal, and a shell's job control, treat both as they would treat the
// child alone. What a terminal sends reaches both; what a process sends to us is meant for the child.
#pragma once

#include <sys/types.h>

#include <functional>

namespace fil::addon {

struct ChildEvent {
  enum class Kind { exited, killed, report_asked };
  Kind kind;
  /// Exit status or number of the signal; 0 for report_asked.
  int value;
};

/// Begins; once in a process. With `takes_report_signal`, SIGUSR2 is a request to us, which the child passes on too.
/// `on_event` is called on a thread of ours, never on two at a time for `exited` or `killed`, which is the last. Throws
/// std::system_error.
void supervise(pid_t child, bool takes_report_signal, std::function<void(ChildEvent)> on_event);

/// Ends this process at once, without Node's clean-up, which would set the terminal back to what it was when we
/// started.
[[noreturn]] void end_with_status(int status);
/// The same by the signal that ended the child, so that shells see what they would have seen.
[[noreturn]] void end_by_signal(int signal);

}  // namespace fil::addon
