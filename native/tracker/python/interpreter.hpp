// The CPython that this process runs: its functions, found at run time, and the reading of its frames. One binary
// serves all supported versions, so Python.h is not included.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../call_tree.hpp"
#include "../exclusive.hpp"
#include "layout.hpp"

namespace fil::python {

/// PyMemAllocatorEx; part of the stable documentation since 3.5.
struct Allocator {
  void* context;
  void* (*malloc)(void* context, std::size_t size);
  void* (*calloc)(void* context, std::size_t count, std::size_t size);
  void* (*realloc)(void* context, void* block, std::size_t size);
  void (*free)(void* context, void* block);
};

/// PyMemAllocatorDomain.
enum class Domain : int { raw = 0, mem = 1, object = 2 };

/// Functions of the C API, by the names under which they are exported.
struct Api {
  unsigned long* version;  // Py_Version, a variable
  void* (*gil_state_this_thread)();
  void* (*thread_state_unchecked)();
  void* (*interpreter_main)();
  int (*is_initialized)();
  void (*get_allocator)(Domain, Allocator*);
  void (*set_allocator)(Domain, Allocator*);
  void* (*mem_malloc)(std::size_t);
  void (*mem_free)(void*);
  int (*code_line)(void* code, int offset);
  std::ptrdiff_t (*string_length)(void* string);
  std::uint32_t (*string_character)(void* string, std::ptrdiff_t index);
  void* (*dict_new)();
  int (*gc_disable)();
  int (*gc_enable)();
  /// Simulates the arrival of a signal; safe to call in a signal handler.
  int (*set_interrupt)(int signal_number);
  /// PyDict_Type and _Py_NoneStruct, the variables.
  std::byte* dict_type;
  std::byte* none;
  /// 3.12 and later; null before.
  int (*add_code_watcher)(int (*callback)(int event, void* code));
  /// PyCode_Type, the variable.
  void* code_type;
};

class Interpreter final : public CodeReader {
 public:
  /// Finds the functions and the layout. Null if all is well, else a sentence that says what is missing; it stays
  /// valid.
  const char* find();
  /// What to say of a program that has no C API of Python's to find.
  static constexpr char exports_nothing[] =
      "This program exports no Py_Version: it is not CPython 3.11 or later, or it is a stripped or static build. "
      "Use a CPython that exports its C API, as the builds of python.org, Debian, pyenv and conda do.";
  bool found() const { return found_; }
  /// Whether the interpreter is up; before, nothing else may be asked.
  bool is_initialized() {
    if (found() && main_interpreter_ == nullptr && api_.is_initialized() != 0) {
      main_interpreter_ = static_cast<const std::byte*>(api_.interpreter_main());
    }
    return main_interpreter_ != nullptr;
  }

  const Api& api() const { return api_; }
  const Layout& layout() const { return layout_; }

  // Thread states and frames are addresses. All of these read only what the calling thread owns.

  /// The calling thread's state, with or without the GIL; null for threads that Python does not know.
  const std::byte* this_thread() const { return static_cast<const std::byte*>(api_.gil_state_this_thread()); }
  /// The state of the thread in whose name the calling thread may run Python code, or, until 3.11, in whose name some
  /// thread may; null if there is none.
  const std::byte* running_thread() const { return static_cast<const std::byte*>(api_.thread_state_unchecked()); }
  /// Whether running_thread() tells of the calling thread, and not of the process.
  bool running_thread_is_own() const { return layout_.minor >= 12; }
  /// Whether `thread`, whose GIL is held, belongs to the main interpreter; others can have a GIL of their own.
  bool of_main_interpreter(const std::byte* thread) const {
    return load(thread, layout_.interpreter) == main_interpreter_;
  }

  const std::byte* current_frame(const std::byte* thread) const {
    const std::byte* holder = load(thread, layout_.current_frame);
    return layout_.c_frame_current == no_c_frame ? holder : load(holder, layout_.c_frame_current);
  }
  const std::byte* previous(const std::byte* frame) const { return load(frame, layout_.previous); }
  const std::byte* instruction(const std::byte* frame) const { return load(frame, layout_.instruction); }
  const std::byte* code(const std::byte* frame) const { return untagged(load(frame, layout_.code)); }
  static const std::byte* untagged(const std::byte* reference) {
    return reinterpret_cast<const std::byte*>(reinterpret_cast<std::uintptr_t>(reference) & ~reference_tags);
  }
  /// The field of a frame that holds its locals() once somebody has asked for them.
  const std::byte** locals_field(const std::byte* frame) const {
    return reinterpret_cast<const std::byte**>(const_cast<std::byte*>(frame) + layout_.locals);
  }
  /// Whether the frame is that of a plain call of a function: not of a generator, a class body or a module.
  bool is_function_call(const std::byte* frame) const {
    constexpr std::uint8_t owned_by_thread = 0;
    constexpr std::uint32_t co_optimized = 1;
    return static_cast<std::uint8_t>(frame[layout_.owner]) == owned_by_thread &&
           (*reinterpret_cast<const std::uint32_t*>(code(frame) + layout_.flags) & co_optimized) != 0;
  }
  /// Frames that C code owns stand between Python frames since 3.12 and stand for nothing.
  bool is_transparent(const std::byte* frame) const {
    return static_cast<std::uint8_t>(frame[layout_.owner]) >= first_owner_in_c;
  }
  std::uint32_t offset_in_code(const std::byte* code, const std::byte* instruction) const {
    return static_cast<std::uint32_t>(instruction - (code + layout_.instructions));
  }

  std::int32_t line_at(const void* code, std::uint32_t offset) const override;
  std::int32_t first_line(const void* code) const override;
  std::size_t filename(const void* code, char* to, std::size_t capacity) const override;
  std::size_t qualified_name(const void* code, char* to, std::size_t capacity) const override;

 private:
  static const std::byte* load(const std::byte* base, std::size_t offset) {
    return *reinterpret_cast<const std::byte* const*>(base + offset);
  }
  static bool is_free_threaded();
  std::size_t encode(const void* code, std::size_t offset, char* to, std::size_t capacity) const;

  Api api_{};
  /// A copy, so that reading a frame takes no detour.
  Layout layout_{};
  bool found_ = false;
  const std::byte* main_interpreter_ = nullptr;
  char sentence_[256] = {};
};

}  // namespace fil::python
