#include "allocator_hooks.hpp"

#include <stdint.h>

#include "../block_events.hpp"
#include "../checks/checks.hpp"
#include "interpreter.hpp"

namespace fil::python {
namespace {

// Set by probe(): whether a call of PyMem_Malloc passed through us.
bool probed = false;

struct HookedDomain {
  Domain domain;
  Allocator original;
  /// We are somewhere in the chain of this domain's allocators.
  bool in_chain;
};

HookedDomain hooked[] = {{Domain::mem, {}, false}, {Domain::object, {}, false}};

/// Whether an allocation that adds `more` bytes may be tried; if not, Python raises MemoryError.
bool may_try(const Nesting& nesting, std::uint32_t session, std::size_t bytes, std::size_t more, Backed backed) {
  return !tracker.fails_python_allocation(nesting, session, bytes) &&
         (more > PTRDIFF_MAX ||
          tracker.admits(nesting, Caller::python_allocator, session, static_cast<std::int64_t>(more), backed));
}

// Functions of their own for each domain, which ignore the context: interpreters with a GIL of their own (3.12 and
// later) call while another one installs or removes us, and may find the function of one allocator with the context of
// the other. Both have the same context, the original's, so any mixture works.

template <std::size_t index>
const Allocator& original_of() {
  return hooked[index].original;
}

template <std::size_t index>
void* counted_malloc(void*, std::size_t size) {
  probed = true;
  const Allocator& original = original_of<index>();
  const std::uint32_t session = session_now();
  const Nesting nesting;
  if (session == 0 || !nesting.is_outermost()) {
    return original.malloc(original.context, size);
  }
  if (!may_try(nesting, session, size, size, Backed::at_once)) {
    return nullptr;
  }
  void* block = original.malloc(original.context, size);
  if (block != nullptr) [[likely]] {
    tracker.allocated(nesting, Caller::python_allocator, session, block, size);
  } else {
    tracker.failed(nesting, Caller::python_allocator, session, size, false);
  }
  return block;
}

template <std::size_t index>
void* counted_calloc(void*, std::size_t count, std::size_t size) {
  const Allocator& original = original_of<index>();
  const std::uint32_t session = session_now();
  const Nesting nesting;
  std::size_t bytes = 0;
  if (session == 0 || !nesting.is_outermost() || __builtin_mul_overflow(count, size, &bytes)) {
    return original.calloc(original.context, count, size);
  }
  if (!may_try(nesting, session, bytes, bytes, Backed::when_touched)) {
    return nullptr;
  }
  void* block = original.calloc(original.context, count, size);
  if (block != nullptr) [[likely]] {
    tracker.allocated(nesting, Caller::python_allocator, session, block, bytes);
  } else {
    tracker.failed(nesting, Caller::python_allocator, session, bytes, false);
  }
  return block;
}

template <std::size_t index>
void* counted_realloc(void*, void* block, std::size_t size) {
  const Allocator& original = original_of<index>();
  const std::uint32_t session = session_now();
  const Nesting nesting;
  if (session == 0 || !nesting.is_outermost()) {
    return original.realloc(original.context, block, size);
  }
  Block before{SiteId::root, 0};
  if (block != nullptr) {
    before = tracker.released(nesting, Caller::python_allocator, session, block);
  }
  const std::size_t held = static_cast<std::size_t>(before.bytes);
  const bool refused = !may_try(nesting, session, size, size > held ? size - held : 0, Backed::at_once);
  void* moved = refused ? nullptr : original.realloc(original.context, block, size);
  if (moved != nullptr) [[likely]] {
    tracker.allocated(nesting, Caller::python_allocator, session, moved, size);
  } else {
    tracker.not_released(nesting, Caller::python_allocator, session, block, before);
    if (!refused) {
      tracker.failed(nesting, Caller::python_allocator, session, size, false);
    }
  }
  return moved;
}

template <std::size_t index>
void counted_free(void*, void* block) {
  const Allocator& original = original_of<index>();
  const std::uint32_t session = session_now();
  const Nesting nesting;
  if (session != 0 && block != nullptr && nesting.is_outermost()) {
    tracker.released(nesting, Caller::python_allocator, session, block);
  }
  original.free(original.context, block);
}

template <std::size_t index>
constexpr Allocator functions_for{nullptr, counted_malloc<index>, counted_calloc<index>, counted_realloc<index>,
                                  counted_free<index>};
constexpr Allocator functions[] = {functions_for<0>, functions_for<1>};

bool is_ours(const Allocator& allocator) {
  return allocator.malloc == functions[0].malloc || allocator.malloc == functions[1].malloc;
}

/// Whether calls of the mem domain still reach us although another allocator stands first.
bool probe(const Interpreter& python) {
  probed = false;
  const Nesting nesting;
  python.api().mem_free(python.api().mem_malloc(1));
  return probed;
}

}  // namespace

void install_allocator_hooks(const Interpreter& python) {
  for (HookedDomain& each : hooked) {
    Allocator current{};
    python.api().get_allocator(each.domain, &current);
    // tracemalloc, started during a session, wraps us and stays when we go: then we are in its chain for good. Standing
    // before it as well would make each call the other's original, without end.
    if (is_ours(current) || (each.in_chain && probe(python))) {
      pass(Mark::allocator_hook_in_chain);
      continue;
    }
    each.original = current;
    Allocator hooks = functions[&each - hooked];
    hooks.context = current.context;
    python.api().set_allocator(each.domain, &hooks);
    each.in_chain = true;
  }
}

bool remove_allocator_hooks(const Interpreter& python) {
  bool undisturbed = true;
  for (HookedDomain& each : hooked) {
    Allocator current{};
    python.api().get_allocator(each.domain, &current);
    if (is_ours(current)) {
      python.api().set_allocator(each.domain, &each.original);
      each.in_chain = false;
    } else if (!probe(python)) {
      // tracemalloc, started before the session and stopped during it, has put back what was there before it, and us
      // out.
      pass(Mark::allocator_hook_lost);
      each.in_chain = false;
      undisturbed = false;
    }
  }
  return undisturbed;
}

}  // namespace fil::python
