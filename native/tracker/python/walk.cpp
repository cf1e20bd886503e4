// The walk of the self-test: as the tracker's own, but careful, as it is what finds out whether offsets are right.
#include "../api.hpp"
#include "../system.hpp"
#include "../tracker.hpp"

/// Walks the calling thread's frames, innermost first, as the tracker does but reading through the kernel, so that
/// wrong offsets fail instead of crashing. Returns the number of frames, or -1 if an address could not be read.
std::int32_t fil_walk(FilFrame* frames, std::int32_t capacity) {
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
