#include "canary.hpp"

#include "../checks/checks.hpp"

namespace fil::python {
namespace {

constexpr Canary no_canary{nullptr, 0};

bool is_dict(const Interpreter& python, const std::byte* object) {
  return *reinterpret_cast<const std::byte* const*>(object + type_offset) == python.api().dict_type;
}

/// Whether somebody stands before Python's raw allocator, whose own functions need no context: tracemalloc, or a debug
/// hook. Tracemalloc allocates while it holds a lock that it takes for every new object.
bool somebody_traces(const Interpreter& python) {
  Allocator raw{};
  python.api().get_allocator(Domain::raw, &raw);
  return raw.context != nullptr;
}

/// An empty dict. The program is in the middle of an allocation and expects no garbage collection there; 3.11 could
/// start one. Null if there is no memory, or where making an object could wait for a lock of this very thread.
const std::byte* new_dict(const Interpreter& python) {
  if (somebody_traces(python)) {
    return nullptr;
  }
  const bool collecting = python.api().gc_disable() != 0;
  void* dict = python.api().dict_new();
  if (collecting) {
    python.api().gc_enable();
  }
  return static_cast<const std::byte*>(dict);
}

}  // namespace

Canary plant_canary(const Interpreter& python, const std::byte* frame) {
  if (!python.is_function_call(frame) || fails(Failpoint::canary)) {
    return no_canary;
  }
  const std::byte*& locals = *python.locals_field(frame);
  if (python.layout().canary == CanaryKind::none_object) {
    if (locals != nullptr && locals != python.api().none) {
      return no_canary;
    }
    locals = python.api().none;
    return Canary{locals, 0};
  }
  if (locals == nullptr) {
    // The frame owns it from here on and drops it when it ends.
    locals = new_dict(python);
  }
  if (locals == nullptr || !is_dict(python, locals)) {
    return no_canary;
  }
  return Canary{locals, version_of(locals)};
}

}  // namespace fil::python
