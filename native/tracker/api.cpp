// What Python calls, through ctypes with the GIL held: filprofiler/_tracker.py is the other side.
#include "api.hpp"

#include <cstdint>

#include "nesting.hpp"
#include "process.hpp"
#include "system.hpp"
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

/// Walks the calling thread's frames, innermost first, as the tracker does but reading through the kernel, so that
/// wrong offsets fail instead of crashing. Returns the number of frames, or -1 if an address could not be read.
FIL_EXPORT std::int32_t fil_walk(FilFrame* frames, std::int32_t capacity) {
  using fil::system::read_own_memory;
  const fil::python::Interpreter& python = fil::tracker.python();
  if (!python.found()) {
    return -1;
  }
  const fil::python::Layout& layout = python.layout();
  const auto read_pointer = [](const std::byte* base, std::size_t offset, const std::byte*& to) {
    return read_own_memory(base + offset, &to, sizeof(to));
  };
  const std::byte* frame = nullptr;
  bool readable = read_pointer(python.this_thread(), layout.current_frame, frame);
  if (readable && layout.c_frame_current != fil::python::no_c_frame) {
    readable = read_pointer(frame, layout.c_frame_current, frame);
  }
  std::int32_t count = 0;
  while (readable && frame != nullptr && count < capacity) {
    std::uint8_t owner = 0;
    const std::byte* code = nullptr;
    const std::byte* instruction = nullptr;
    const std::byte* filename = nullptr;
    const std::byte* name = nullptr;
    const std::byte* locals = nullptr;
    readable = read_own_memory(frame + layout.owner, &owner, 1);
    if (readable && owner < fil::python::first_owner_in_c) {
      FilFrame& row = frames[count];
      readable = read_pointer(frame, layout.code, code);
      code = fil::python::Interpreter::untagged(code);
      readable = readable && read_pointer(frame, layout.instruction, instruction) &&
                 read_pointer(code, layout.filename, filename) && read_pointer(code, layout.qualified_name, name) &&
                 read_own_memory(code + layout.first_line, &row.first_line, sizeof(row.first_line)) &&
                 read_own_memory(code + layout.flags, &row.flags, sizeof(row.flags)) &&
                 read_pointer(frame, layout.locals, locals);
      if (!readable) {
        break;
      }
      row.code = code;
      row.filename = filename;
      row.qualified_name = name;
      row.locals = locals;
      row.last_instruction = static_cast<std::int32_t>(python.offset_in_code(code, instruction));
      ++count;
    }
    readable = readable && read_pointer(frame, layout.previous, frame);
  }
  return readable ? count : -1;
}
