#include "uncaught.hpp"

#include <initializer_list>

#include "symbols.hpp"

namespace fil::python {
namespace {

/// Of causes and contexts; a ring of them would have no end.
constexpr int longest_chain = 100;

void (*on_found)() = nullptr;

struct {
  void* (*import_module)(const char* name);
  void* (*modules)();
  void* (*item)(void* dictionary, const char* key);
  int (*delete_item)(void* dictionary, const char* key);
  void* (*new_function)(MethodDefinition* definition, void* self, void* module);
  void* (*call_method)(void* object, const char* name, const char* format, ...);
  void* (*system_object)(const char* name);
  int (*matches)(void* exception, void* type);
  void* (*cause)(void* exception);
  void* (*context)(void* exception);
  void (*acquire)(void* object);
  void (*release)(void* object);
  void (*clear_error)();
  void** memory_error;
  void* none;
} python{};

bool find_functions() {
  return find_symbol("PyImport_ImportModule", python.import_module) &&
         find_symbol("PyImport_GetModuleDict", python.modules) && find_symbol("PyDict_GetItemString", python.item) &&
         find_symbol("PyDict_DelItemString", python.delete_item) &&
         find_symbol("PyCFunction_NewEx", python.new_function) &&
         find_symbol("PyObject_CallMethod", python.call_method) &&
         find_symbol("PySys_GetObject", python.system_object) &&
         find_symbol("PyErr_GivenExceptionMatches", python.matches) &&
         find_symbol("PyException_GetCause", python.cause) && find_symbol("PyException_GetContext", python.context) &&
         find_symbol("Py_IncRef", python.acquire) && find_symbol("Py_DecRef", python.release) &&
         find_symbol("PyErr_Clear", python.clear_error) && find_symbol("PyExc_MemoryError", python.memory_error) &&
         find_symbol("_Py_NoneStruct", python.none);
}

/// The exception that Python has printed as uncaught; null if none. The name changed with 3.12.
void* uncaught() {
  for (const char* name : {"last_exc", "last_value"}) {
    if (void* exception = python.system_object(name)) {
      return exception == python.none ? nullptr : exception;
    }
  }
  return nullptr;
}

void* at_exit(void*, void*) {
  void* exception = uncaught();
  if (exception != nullptr) {
    python.acquire(exception);
  }
  for (int links = 0; exception != nullptr && links < longest_chain; ++links) {
    if (python.matches(exception, *python.memory_error) != 0) {
      on_found();
      break;
    }
    void* next = python.cause(exception);
    if (next == nullptr) {
      next = python.context(exception);
    }
    python.release(exception);
    exception = next;
  }
  if (exception != nullptr) {
    python.release(exception);
  }
  python.acquire(python.none);
  return python.none;
}

MethodDefinition definition{"_fil_at_exit", at_exit, no_arguments, nullptr};

}  // namespace

void watch_uncaught_memory_error(void (*found)()) {
  if (!find_functions()) {
    return;
  }
  on_found = found;
  void* modules = python.modules();
  const bool was_imported = python.item(modules, "atexit") != nullptr;
  void* module = python.import_module("atexit");
  void* function = module == nullptr ? nullptr : python.new_function(&definition, nullptr, nullptr);
  void* registered = function == nullptr ? nullptr : python.call_method(module, "register", "O", function);
  for (void* object : {module, function, registered}) {
    if (object != nullptr) {
      python.release(object);
    }
  }
  if (!was_imported) {
    // The program sees the modules that it would see without us.
    python.delete_item(modules, "atexit");
  }
  python.clear_error();
}

}  // namespace fil::python
