#include "allocator_hooks.hpp"

#include "../checks/checks.hpp"
#include "../tracker.hpp"
#include "interpreter.hpp"

namespace fil::python {
namespace {

// Set by probe(): whether a call of PyMem_Malloc passed through us.
bool probed = false;

Allocator& original_of(void* context) {
  return *static_cast<Allocator*>(context);
}

void* counted_malloc(void* context, std::size_t size) {
  probed = true;
  const Allocator& original = original_of(context);
  const std::uint32_t session = session_now();
  const Nesting nesting;
  void* block = original.malloc(original.context, size);
  if (session != 0 && block != nullptr && nesting.is_outermost()) {
    tracker.allocated(nesting, Caller::python_allocator, session, block, size);
  }
  return block;
}

void* counted_calloc(void* context, std::size_t count, std::size_t size) {
  const Allocator& original = original_of(context);
  const std::uint32_t session = session_now();
  const Nesting nesting;
  void* block = original.calloc(original.context, count, size);
  if (session != 0 && block != nullptr && nesting.is_outermost()) {
    // No overflow: the original has just allocated the product.
    tracker.allocated(nesting, Caller::python_allocator, session, block, count * size);
  }
  return block;
}

void* counted_realloc(void* context, void* block, std::size_t size) {
  const Allocator& original = original_of(context);
  const std::uint32_t session = session_now();
  const Nesting nesting;
  if (session == 0 || !nesting.is_outermost()) {
    return original.realloc(original.context, block, size);
  }
  Block before{SiteId::root, 0};
  if (block != nullptr) {
    before = tracker.released(nesting, Caller::python_allocator, session, block);
  }
  void* moved = original.realloc(original.context, block, size);
  if (moved != nullptr) {
    tracker.allocated(nesting, Caller::python_allocator, session, moved, size);
  } else {
    tracker.not_released(nesting, Caller::python_allocator, session, block, before);
  }
  return moved;
}

void counted_free(void* context, void* block) {
  const Allocator& original = original_of(context);
  const std::uint32_t session = session_now();
  const Nesting nesting;
  if (session != 0 && block != nullptr && nesting.is_outermost()) {
    tracker.released(nesting, Caller::python_allocator, session, block);
  }
  original.free(original.context, block);
}

struct HookedDomain {
  Domain domain;
  Allocator original;
  /// We are somewhere in the chain of this domain's allocators.
  bool in_chain;
};

HookedDomain hooked[] = {{Domain::mem, {}, false}, {Domain::object, {}, false}};

bool is_ours(const Allocator& allocator) {
  return allocator.malloc == counted_malloc;
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
    Allocator ours{&each.original, counted_malloc, counted_calloc, counted_realloc, counted_free};
    python.api().set_allocator(each.domain, &ours);
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
