#include "interpreter.hpp"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "../checks/checks.hpp"
#include "symbols.hpp"

namespace fil::python {
namespace {

/// Appends a code point as UTF-8; surrogates, which strings from the file system can hold, become U+FFFD.
std::size_t put_utf8(std::uint32_t character, char* to) {
  if (character >= 0xd800 && character < 0xe000) {
    character = 0xfffd;
  }
  const auto tail = [&](unsigned shift) { return static_cast<char>(0x80U | ((character >> shift) & 0x3fU)); };
  if (character < 0x80) {
    to[0] = static_cast<char>(character);
    return 1;
  }
  if (character < 0x800) {
    to[0] = static_cast<char>(0xc0U | (character >> 6));
    to[1] = tail(0);
    return 2;
  }
  if (character < 0x1'0000) {
    to[0] = static_cast<char>(0xe0U | (character >> 12));
    to[1] = tail(6);
    to[2] = tail(0);
    return 3;
  }
  to[0] = static_cast<char>(0xf0U | (character >> 18));
  to[1] = tail(12);
  to[2] = tail(6);
  to[3] = tail(0);
  return 4;
}

/// For the failpoint: the `number`th field of the layout, from 0, is off by a word.
[[maybe_unused]] void make_an_offset_wrong(Layout& layout, unsigned number) {
  constexpr std::size_t Layout::* fields[] = {&Layout::interpreter, &Layout::current_frame, &Layout::code,
                                              &Layout::previous,    &Layout::instruction,   &Layout::owner,
                                              &Layout::locals,      &Layout::filename,      &Layout::qualified_name,
                                              &Layout::flags,       &Layout::first_line,    &Layout::instructions};
  layout.*fields[number % (sizeof(fields) / sizeof(fields[0]))] += sizeof(void*);
}

}  // namespace

bool Interpreter::is_free_threaded() {
  // The head of _Py_DebugOffsets, at the beginning of the runtime since 3.13 (Include/internal/pycore_debug_offsets.h).
  struct DebugOffsets {
    char cookie[8];
    std::uint64_t version;
    std::uint64_t free_threaded;
  };
  const DebugOffsets* runtime = nullptr;
  return find_symbol("_PyRuntime", runtime) && memcmp(runtime->cookie, "xdebugpy", sizeof(runtime->cookie)) == 0 &&
         runtime->free_threaded != 0;
}

const char* Interpreter::find() {
  if (!find_symbol("Py_Version", api_.version)) {
    return exports_nothing;
  }
  if (is_free_threaded()) {
    return "This Python is a free-threaded build, whose threads run without a GIL. Fil can't follow them yet: use the "
           "usual build of the same version.";
  }
  const int major = static_cast<int>(*api_.version >> 24);
  const int minor = static_cast<int>((*api_.version >> 16) & 0xffU);
  const Layout* layout = nullptr;
  for (const Layout& candidate : layouts) {
    if (major == 3 && candidate.minor == minor) {
      layout = &candidate;
    }
  }
  if (layout == nullptr) {
    snprintf(sentence_, sizeof(sentence_),
             "Python %d.%d is not supported by this version of Fil, which reads the frames of Python 3.%d to 3.%d. "
             "Use one of these, or update filprofiler.",
             major, minor, layouts[0].minor, layouts[sizeof(layouts) / sizeof(layouts[0]) - 1].minor);
    return sentence_;
  }

  const char* missing = nullptr;
  const auto need = [&](const char* name, auto& to) {
    if (!find_symbol(name, to) || fails(Failpoint::python_symbol)) {
      missing = name;
    }
  };
  need("PyGILState_GetThisThreadState", api_.gil_state_this_thread);
  // Its public name since 3.13.
  if (!find_symbol("PyThreadState_GetUnchecked", api_.thread_state_unchecked)) {
    need("_PyThreadState_UncheckedGet", api_.thread_state_unchecked);
  }
  need("PyInterpreterState_Main", api_.interpreter_main);
  need("Py_IsInitialized", api_.is_initialized);
  need("PyMem_GetAllocator", api_.get_allocator);
  need("PyMem_SetAllocator", api_.set_allocator);
  need("PyMem_Malloc", api_.mem_malloc);
  need("PyMem_Free", api_.mem_free);
  need("PyCode_Addr2Line", api_.code_line);
  need("PyUnicode_GetLength", api_.string_length);
  need("PyUnicode_ReadChar", api_.string_character);
  need("PyCode_Type", api_.code_type);
  need("PyDict_New", api_.dict_new);
  need("PyGC_Disable", api_.gc_disable);
  need("PyGC_Enable", api_.gc_enable);
  need("PyErr_SetInterruptEx", api_.set_interrupt);
  need("PyDict_Type", api_.dict_type);
  need("_Py_NoneStruct", api_.none);
  if (minor >= 12) {
    need("PyCode_AddWatcher", api_.add_code_watcher);
  }
  if (missing != nullptr) {
    snprintf(sentence_, sizeof(sentence_),
             "This Python 3.%d does not export %s, which Fil needs. Use an unmodified CPython.", minor, missing);
    return sentence_;
  }
  if (api_.is_initialized() != 0) {
    main_interpreter_ = static_cast<const std::byte*>(api_.interpreter_main());
  }
  layout_ = *layout;
  if constexpr (is_checked_build) {
    if (fails(Failpoint::python_offset)) {
      make_an_offset_wrong(layout_, checks::value_of(Failpoint::python_offset));
    }
  }
  found_ = true;
  return nullptr;
}

std::int32_t Interpreter::line_at(const void* code, std::uint32_t offset) const {
  const int line = api_.code_line(const_cast<void*>(code), static_cast<int>(offset));
  return line < 0 ? first_line(code) : line;
}

std::int32_t Interpreter::first_line(const void* code) const {
  return *reinterpret_cast<const std::int32_t*>(static_cast<const std::byte*>(code) + layout_.first_line);
}

std::size_t Interpreter::filename(const void* code, char* to, std::size_t capacity) const {
  return encode(code, layout_.filename, to, capacity);
}

std::size_t Interpreter::qualified_name(const void* code, char* to, std::size_t capacity) const {
  return encode(code, layout_.qualified_name, to, capacity);
}

// By hand: PyUnicode_AsUTF8AndSize allocates and caches its result in the string.
std::size_t Interpreter::encode(const void* code, std::size_t offset, char* to, std::size_t capacity) const {
  void* string = const_cast<std::byte*>(load(static_cast<const std::byte*>(code), offset));
  const std::ptrdiff_t length = api_.string_length(string);
  std::size_t written = 0;
  for (std::ptrdiff_t i = 0; i < length; ++i) {
    if (capacity - written < 4) {
      return capacity + 1;
    }
    written += put_utf8(api_.string_character(string, i), to + written);
  }
  return written;
}

}  // namespace fil::python
