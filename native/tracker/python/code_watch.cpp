#include "code_watch.hpp"

#include <cstddef>

#include "interpreter.hpp"

namespace fil::python {
namespace {

void (*report_death)(const void* code) = nullptr;

using Destructor = void (*)(void* object);
Destructor original_destructor = nullptr;

/// PyTypeObject.tp_dealloc: after ob_base (24 bytes with ob_size), tp_name, tp_basicsize, tp_itemsize. Part of the ABI
/// since 3.2.
constexpr std::size_t destructor_offset = 48;

void destroy_code(void* code) {
  original_destructor(code);
  // Afterwards, as weak references' callbacks run Python code in the destructor, which can bring the code to our notice
  // again. No other thread can have got the address yet: the GIL is held.
  report_death(code);
}

/// PyCodeEvent: PY_CODE_EVENT_CREATE 0, PY_CODE_EVENT_DESTROY 1.
int on_code_event(int event, void* code) {
  if (event == 1) {
    report_death(code);
  }
  return 0;
}

}  // namespace

bool watch_code(const Interpreter& python, void (*died)(const void* code)) {
  if (report_death != nullptr) {
    return true;
  }
  report_death = died;
  if (python.api().add_code_watcher != nullptr) {
    if (python.api().add_code_watcher(on_code_event) < 0) {
      report_death = nullptr;
      return false;
    }
    return true;
  }
  // 3.11 has no watchers.
  auto& destructor =
      *reinterpret_cast<Destructor*>(static_cast<std::byte*>(python.api().code_type) + destructor_offset);
  original_destructor = destructor;
  destructor = destroy_code;
  return true;
}

}  // namespace fil::python
