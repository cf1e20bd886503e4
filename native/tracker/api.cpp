// What Python calls, through ctypes with the GIL held: filprofiler/_tracker.py is the other side.
#include "api.hpp"

#include <cstdint>

#include "nesting.hpp"
#include "process.hpp"
#include "tracker.hpp"

#define FIL_EXPORT extern "C" __attribute__((visibility("default")))

/// Null if tracking can begin in this process, else a sentence (UTF-8) that says why not.
FIL_EXPORT const char* fil_why_unfit() {
  return fil::tracker.why_unfit();
}

/// Begins tracking; call stacks end at frames of the `count` code objects. One byte in `sampling_mean_bytes` is
/// sampled; 0 to count every allocation. Null, or why it was refused.
FIL_EXPORT const char* fil_begin(const void* const* boundaries, std::size_t count, std::uint64_t sampling_mean_bytes) {
  const fil::Nesting nesting;
  return fil::tracker.begin(boundaries, count, sampling_mean_bytes);
}

FIL_EXPORT void fil_end() {
  const fil::Nesting nesting;
  fil::tracker.end();
}

/// Number of the session that was begun last; 0 if none was. Tells the peak of what it counted or estimated.
FIL_EXPORT std::uint32_t fil_last_session(std::int64_t* peak_bytes) {
  return fil::tracker.last_session(*peak_bytes);
}

FIL_EXPORT int fil_is_forked() {
  return fil::tracker.is_forked() ? 1 : 0;
}

FIL_EXPORT int fil_is_tracking() {
  return fil::session_now() != 0 ? 1 : 0;
}

/// The directory of the process tree that this process is a member of, "standby" if it could become one of any, or
/// empty.
FIL_EXPORT const char* fil_tree_directory() {
  return fil::tracker.tree_directory();
}

/// Makes this process a member of another tree. Null, or why not.
FIL_EXPORT const char* fil_move_to_tree(const char* directory) {
  const fil::Nesting nesting;
  return fil::tracker.move_to_tree(directory);
}

/// Where to ask for profiles, and the key of the messages; empty if there is nobody to ask.
FIL_EXPORT const char* fil_control_endpoint() {
  return fil::control_endpoint.text;
}
FIL_EXPORT const char* fil_control_key() {
  return fil::control_key.text;
}

/// Cell `number`, from 1 and never the same again, begins to run on the main thread.
FIL_EXPORT void fil_guard_enter(std::uint64_t number) {
  fil::tracker.guard().enter(number);
}

/// It has ended: from now on nothing interrupts or refuses in its name.
FIL_EXPORT void fil_guard_leave() {
  fil::tracker.guard().leave();
}

/// Takes the open request to interrupt the running cell. 1 if there was one, and only for one caller.
FIL_EXPORT int fil_guard_take() {
  const fil::Nesting nesting;
  return fil::tracker.takes_request_by_interrupt(nesting) ? 1 : 0;
}

/// The request to interrupt is not for the running cell to meet.
FIL_EXPORT void fil_guard_decline() {
  fil::tracker.guard().decline();
}

/// 1 if the cell that runs, or has just ended, was interrupted or refused memory.
FIL_EXPORT int fil_guard_refused() {
  return fil::tracker.guard().has_refused() ? 1 : 0;
}

/// To be called after Python has been given a handler for the signal, which then is called when the watcher asks. 0 if
/// that is not possible. The threads, by their ids in the kernel, are never refused memory.
FIL_EXPORT int fil_guard_listen(int signal_number, const std::int32_t* exempt_threads, std::size_t count) {
  fil::MemoryGuard& guard = fil::tracker.guard();
  guard.exempt(exempt_threads, count);
  const bool usable = fil::tracker.why_unfit() == nullptr;
  return usable && guard.listen(signal_number, [](int number) { fil::tracker.python().api().set_interrupt(number); })
             ? 1
             : 0;
}
