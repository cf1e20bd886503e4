#include "program_start.hpp"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include <cstddef>

#include "../system.hpp"
#include "symbols.hpp"

namespace fil::python {
namespace {

ProgramStart start{};

/// Where we are in Python's start.
enum class Phase { starting, looking_for_code, looking_for_module, began };
Phase phase = Phase::starting;

/// Where Python keeps its list of audit hooks, and what stands there while it is ours alone; null if unknown.
struct {
  void** head;
  void* entry;
} list{nullptr, nullptr};

/// Python has no way to remove a hook, and with one each id() and each attribute of some kinds costs a call. The entry
/// is what Python is looking at just now: it stays, unlinked.
void remove_hook() {
  if (list.head != nullptr && *list.head == list.entry) {
    *list.head = nullptr;
  }
}

/// The few functions of Python's that are needed for a look at code objects.
struct {
  void* (*tuple_item)(void* tuple, std::ptrdiff_t index);
  void* (*attribute)(void* object, const char* name);
  const char* (*text)(void* string);
  void (*release)(void* object);
  void (*clear_error)();
  void* (*running_frame)();
  void* (*code_of_frame)(void* frame);
} python{};

bool find_functions() {
  return find_symbol("PyTuple_GetItem", python.tuple_item) && find_symbol("PyObject_GetAttrString", python.attribute) &&
         find_symbol("PyUnicode_AsUTF8", python.text) && find_symbol("Py_DecRef", python.release) &&
         find_symbol("PyErr_Clear", python.clear_error) && find_symbol("PyEval_GetFrame", python.running_frame) &&
         find_symbol("PyFrame_GetCode", python.code_of_frame);
}

/// Whether `test` holds for an attribute that is a string; false for one that is no valid text.
template <class Test>
bool attribute_is(void* object, const char* name, Test test) {
  void* value = python.attribute(object, name);
  const char* text = value == nullptr ? nullptr : python.text(value);
  const bool result = text != nullptr && test(text);
  if (text == nullptr) {
    python.clear_error();
  }
  if (value != nullptr) {
    python.release(value);
  }
  return result;
}

/// Also of code without a file: frozen modules, and what named tuples are made of.
bool is_of_standard_library(const char* filename) {
  const bool installed =
      strstr(filename, "/site-packages/") != nullptr || strstr(filename, "/dist-packages/") != nullptr;
  const bool library = strstr(filename, "/lib/python3") != nullptr || strstr(filename, "/lib64/python3") != nullptr;
  return filename[0] == '<' || (library && !installed);
}

/// Whether the code that is about to be executed is the program's, and not that of the modules by which Python looks
/// for it (runpy, and what it imports).
bool is_program(void* code) {
  if (phase == Phase::looking_for_code || !attribute_is(code, "co_filename", is_of_standard_library)) {
    return true;
  }
  // A module of the standard library can be the program: runpy executes it here.
  void* frame = python.running_frame();
  void* caller = frame == nullptr ? nullptr : python.code_of_frame(frame);
  if (caller == nullptr) {
    return false;
  }
  const bool by_runpy =
      attribute_is(caller, "co_name", [](const char* name) { return strcmp(name, "_run_code") == 0; });
  python.release(caller);
  return by_runpy;
}

int on_audit_event(const char* event, void* arguments, void*) {
  switch (phase) {
    case Phase::starting: {
      // Raised in Modules/main.c. The others of this family are no program: PYTHONSTARTUP, and the prompt's
      // preparation.
      const bool module = strcmp(event, "cpython.run_module") == 0;
      if (module || strcmp(event, "cpython.run_file") == 0 || strcmp(event, "cpython.run_command") == 0 ||
          strcmp(event, "cpython.run_stdin") == 0) {
        // In between Python code of ours may run, which is not the program.
        start.prepared();
        phase = module ? Phase::looking_for_module : Phase::looking_for_code;
      }
      break;
    }
    case Phase::looking_for_code:
    case Phase::looking_for_module:
      if (strcmp(event, "exec") == 0 && is_program(python.tuple_item(arguments, 0))) {
        phase = Phase::began;
        remove_hook();
        start.began();
      }
      break;
    case Phase::began:
      break;
  }
  return 0;
}

using AuditHook = int (*)(const char* event, void* arguments, void* data);
using AddAuditHook = int (*)(AuditHook hook, void* data);

/// The words of Python's global state.
struct Words {
  void** first;
  std::size_t count;
};

Words global_state() {
  void* runtime = dlsym(RTLD_DEFAULT, "_PyRuntime");
  Dl_info info{};
  const ElfW(Sym)* symbol = nullptr;
  if (runtime == nullptr ||
      dladdr1(runtime, &info, reinterpret_cast<void**>(const_cast<ElfW(Sym)**>(&symbol)), RTLD_DL_SYMENT) == 0 ||
      symbol == nullptr) {
    return {nullptr, 0};
  }
  return {static_cast<void**>(runtime), symbol->st_size / sizeof(void*)};
}

/// The word that changed from nothing to an entry of Python's list (next, function, data) with our hook in it.
void find_head(const Words& state, void* const* before) {
  for (std::size_t i = 0; i < state.count; ++i) {
    void* entry[3] = {};
    if (before[i] == nullptr && state.first[i] != nullptr &&
        system::read_own_memory(state.first[i], entry, sizeof(entry)) && entry[0] == nullptr &&
        entry[1] == reinterpret_cast<void*>(&on_audit_event) && entry[2] == static_cast<void*>(&start)) {
      list = {&state.first[i], state.first[i]};
      return;
    }
  }
}

}  // namespace

bool watch_program(ProgramStart to_call) {
  const auto add = reinterpret_cast<AddAuditHook>(dlsym(RTLD_DEFAULT, "PySys_AddAuditHook"));
  if (add == nullptr || !find_functions()) {
    return false;
  }
  start = to_call;
  const Words state = global_state();
  const std::size_t bytes = state.count * sizeof(void*);
  auto* before = bytes == 0 ? nullptr : static_cast<void**>(system::reserve(bytes));
  if (before != nullptr) {
    memcpy(before, state.first, bytes);
  }
  const bool added = add(on_audit_event, static_cast<void*>(&start)) == 0;
  if (before != nullptr) {
    find_head(state, before);
    system::unreserve(before, bytes);
  }
  return added;
}

}  // namespace fil::python
