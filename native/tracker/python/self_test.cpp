#include "self_test.hpp"

#include <cstddef>

#include "../api.hpp"
#include "../system.hpp"
#include "interpreter.hpp"
#include "symbols.hpp"

namespace fil::python {
namespace {

/// A function, a generator, a method, C code that calls back, a class body, and a module.
constexpr char program[] =
    "def function(probe):\n"
    "    probe()\n"
    "def generator(probe):\n"
    "    yield function(probe)\n"
    "class Object:\n"
    "    def method(self, probe):\n"
    "        list(generator(probe))\n"
    "class Body:\n"
    "    sorted([0], key=lambda _: Object().method(probe) or 0)\n";
constexpr std::int32_t frames_of_program = 6;

constexpr int file_input = 257;  // Py_file_input
constexpr std::uint32_t co_optimized = 1;

struct {
  void* (*compile)(const char* source, const char* filename, int start);
  void* (*evaluate)(void* code, void* globals, void* locals);
  void* (*new_dict)();
  int (*set_item)(void* dict, const char* key, void* value);
  void* (*builtins)();
  void* (*new_function)(MethodDefinition* definition, void* self, void* module);
  void* (*running_frame)();
  void* (*caller)(void* frame);
  void* (*code_of)(void* frame);
  int (*last_instruction)(void* frame);
  void* (*attribute)(void* object, const char* name);
  long (*number)(void* object);
  void (*keep)(void* object);
  void (*release)(void* object);
  void (*clear_error)();
  void* none;
} python{};

bool find_all() {
  return find_symbol("Py_CompileString", python.compile) && find_symbol("PyEval_EvalCode", python.evaluate) &&
         find_symbol("PyDict_New", python.new_dict) && find_symbol("PyDict_SetItemString", python.set_item) &&
         find_symbol("PyEval_GetBuiltins", python.builtins) && find_symbol("PyCFunction_NewEx", python.new_function) &&
         find_symbol("PyEval_GetFrame", python.running_frame) && find_symbol("PyFrame_GetBack", python.caller) &&
         find_symbol("PyFrame_GetCode", python.code_of) && find_symbol("PyFrame_GetLasti", python.last_instruction) &&
         find_symbol("PyObject_GetAttrString", python.attribute) && find_symbol("PyLong_AsLong", python.number) &&
         find_symbol("Py_IncRef", python.keep) && find_symbol("Py_DecRef", python.release) &&
         find_symbol("PyErr_Clear", python.clear_error) && find_symbol("_Py_NoneStruct", python.none);
}

/// Whether an attribute is this very object.
bool is_attribute(void* of, const char* name, const void* object) {
  void* value = python.attribute(of, name);
  const bool same = value != nullptr && value == object;
  if (value != nullptr) {
    python.release(value);
  }
  return same;
}

long number_of(void* of, const char* name) {
  void* value = python.attribute(of, name);
  const long number = value == nullptr ? -1 : python.number(value);
  if (value != nullptr) {
    python.release(value);
  }
  return number;
}

bool agrees(const FilFrame& read, void* frame, bool is_innermost) {
  void* code = python.code_of(frame);
  const bool same = read.code == code && is_attribute(code, "co_filename", read.filename) &&
                    is_attribute(code, "co_qualname", read.qualified_name) &&
                    number_of(code, "co_firstlineno") == read.first_line &&
                    number_of(code, "co_flags") == static_cast<long>(read.flags) &&
                    // The innermost frame has moved on since the walk.
                    (is_innermost || python.last_instruction(frame) == read.last_instruction) &&
                    // Only bodies of modules and classes have their locals there before somebody asks.
                    ((read.flags & co_optimized) != 0 || is_attribute(frame, "f_locals", read.locals));
  python.release(code);
  return same;
}

bool all_agree = false;

void* probe(void*, void*) {
  constexpr std::int32_t capacity = 32;
  FilFrame frames[capacity];
  const std::int32_t count = fil_walk(frames, capacity);
  all_agree = count >= frames_of_program;
  void* frame = python.running_frame();
  python.keep(frame);
  for (std::int32_t i = 0; i < count && all_agree; ++i) {
    all_agree = frame != nullptr && agrees(frames[i], frame, i == 0);
    void* caller = frame == nullptr ? nullptr : python.caller(frame);
    if (frame != nullptr) {
      python.release(frame);
    }
    frame = caller;
  }
  if (frame != nullptr) {
    // Python has frames that we don't: fine only if there was no room for them.
    all_agree = all_agree && count == capacity;
    python.release(frame);
  }
  python.clear_error();
  python.keep(python.none);
  return python.none;
}

MethodDefinition definition{"probe", probe, no_arguments, nullptr};

}  // namespace

Look look_at_frames(const Interpreter& python, const std::byte* thread) {
  constexpr int most_frames = 16;
  // After the reference count.
  constexpr std::size_t type_offset = sizeof(void*);
  const Layout& layout = python.layout();
  const auto read = [](const std::byte* base, std::size_t offset, const std::byte*& to) {
    return system::read_own_memory(base + offset, &to, sizeof(to));
  };
  const std::byte* frame = nullptr;
  if (!read(thread, layout.current_frame, frame) ||
      (layout.c_frame_current != no_c_frame && !read(frame, layout.c_frame_current, frame))) {
    return Look::wrong;
  }
  Look look = Look::nothing_to_see;
  for (int i = 0; i < most_frames && frame != nullptr; ++i) {
    std::uint8_t owner = 0;
    if (!system::read_own_memory(frame + layout.owner, &owner, 1)) {
      return Look::wrong;
    }
    if (owner < first_owner_in_c) {
      const std::byte* code = nullptr;
      const std::byte* type = nullptr;
      const std::byte* file = nullptr;
      const std::byte* name = nullptr;
      const std::byte* file_type = nullptr;
      const std::byte* name_type = nullptr;
      if (!read(frame, layout.code, code) || !read(Interpreter::untagged(code), type_offset, type) ||
          type != python.api().code_type || !read(Interpreter::untagged(code), layout.filename, file) ||
          !read(Interpreter::untagged(code), layout.qualified_name, name) || !read(file, type_offset, file_type) ||
          !read(name, type_offset, name_type) || file_type != name_type) {
        return Look::wrong;
      }
      look = Look::right;
    }
    if (!read(frame, layout.previous, frame)) {
      return Look::wrong;
    }
  }
  return look;
}

bool frames_are_where_they_should_be() {
  if (!find_all()) {
    return false;
  }
  all_agree = false;
  void* code = python.compile(program, "<filprofiler>", file_input);
  void* space = python.new_dict();
  void* function = python.new_function(&definition, nullptr, nullptr);
  if (code != nullptr && space != nullptr && function != nullptr &&
      python.set_item(space, "__builtins__", python.builtins()) == 0 &&
      python.set_item(space, "probe", function) == 0) {
    if (void* result = python.evaluate(code, space, space)) {
      python.release(result);
    } else {
      all_agree = false;
    }
  }
  void* const made[] = {code, space, function};
  for (void* each : made) {
    if (each != nullptr) {
      python.release(each);
    }
  }
  python.clear_error();
  return all_agree;
}

}  // namespace fil::python
