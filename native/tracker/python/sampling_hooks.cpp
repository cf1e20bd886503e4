#include "sampling_hooks.hpp"

#include <stdlib.h>
#include <string.h>

#include "../checks/checks.hpp"
#include "../real_functions.hpp"
#include "../sampling/hooks.hpp"
#include "symbols.hpp"

namespace fil::python {
namespace {

using sampling::Choice;
using sampling::decide;
using sampling::Redirect;
using sampling::Sample;
using sampling::thread_sampler;

/// pymalloc's functions, of both domains; they ignore their context.
Allocator pymalloc{};

bool is_small(std::size_t bytes) {
  return bytes <= sampling::pymalloc_limit;
}

[[gnu::noinline]] void* malloc_due(void* context, std::size_t size) {
  if (sampling::redirection.wanted != 0) {
    // Nobody but reaches_us() calls us with one.
    sampling::redirection = {0, size};
    return pymalloc.malloc(context, size);
  }
  const std::uint32_t session = session_now();
  const Choice choice = decide(size);
  const Nesting nesting;
  if (choice != Choice::sampled || !samples(session) || !nesting.is_outermost()) {
    return pymalloc.malloc(context, size);
  }
  void* block = nullptr;
  {
    const Redirect redirect(size);
    block = pymalloc.malloc(context, sampling::passed_on);
  }
  if (block != nullptr) [[likely]] {
    tracker.sampled(nesting, Caller::python_allocator, session, block, size, choice);
  }
  return block;
}

// What pymalloc passes on to malloc() is chosen there.
void* sampled_malloc(void* context, std::size_t size) {
  return is_small(size) && thread_sampler.is_due(size) ? malloc_due(context, size) : pymalloc.malloc(context, size);
}

void* sampled_calloc(void* context, std::size_t count, std::size_t size) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes) || !is_small(bytes) || !thread_sampler.is_due(bytes)) {
    return pymalloc.calloc(context, count, size);
  }
  void* block = malloc_due(context, bytes);
  if (block != nullptr) {
    memset(block, 0, bytes);
  }
  return block;
}

void* sampled_realloc(void* context, void* block, std::size_t size) {
  if (!is_small(size)) {
    return pymalloc.realloc(context, block, size);
  }
  const std::uint32_t session = session_now();
  // Also where the block is malloc()'s, whose realloc() must not choose it a second time.
  const Nesting nesting;
  const Choice choice = thread_sampler.is_due(size) ? decide(size) : Choice::not_counted;
  if (!samples(session) || !nesting.is_outermost()) {
    return pymalloc.realloc(context, block, size);
  }
  const Sample before = block != nullptr && sampling::may_be_counted(block)
                            ? sampling::release_counted(nesting, Caller::python_allocator, block)
                            : Sample{};
  void* moved = nullptr;
  if (choice == Choice::sampled) {
    // The block may have as much as pymalloc_limit to be copied: first as large as that, then as wanted.
    {
      const Redirect redirect(sampling::passed_on);
      moved = pymalloc.realloc(context, block, sampling::passed_on);
    }
    if (void* fitting = moved == nullptr ? nullptr : real.realloc(moved, size == 0 ? 1 : size)) {
      moved = fitting;
    }
  } else {
    moved = pymalloc.realloc(context, block, size);
  }
  if (moved == nullptr) {
    tracker.sample_not_released(nesting, Caller::python_allocator, session, before);
  } else if (choice == Choice::sampled) {
    tracker.sampled(nesting, Caller::python_allocator, session, moved, size, choice);
  }
  return moved;
}

/// PyObjectArenaAllocator.
struct ArenaAllocator {
  void* context;
  void* (*alloc)(void* context, std::size_t size);
  void (*free)(void* context, void* address, std::size_t size);
};
ArenaAllocator arenas{};
/// ARENA_SIZE: 1 MiB, 256 KiB where addresses have 32 bits. Smaller ones are pieces of the stack of Python frames.
constexpr std::size_t least_arena = 256 << 10;

/// Arenas are not memory of whoever happened to need one: their objects are counted.
void* uncounted_arena(void* context, std::size_t size) {
  if (size < least_arena) {
    return arenas.alloc(context, size);
  }
  const Nesting nesting;
  return arenas.alloc(context, size);
}

struct ArenaFunctions {
  void (*get)(ArenaAllocator*);
  void (*set)(ArenaAllocator*);
};
bool find(ArenaFunctions& functions) {
  return find_symbol("PyObject_GetArenaAllocator", functions.get) &&
         find_symbol("PyObject_SetArenaAllocator", functions.set);
}

bool is_same(const Allocator& a, const Allocator& b) {
  return a.malloc == b.malloc && a.context == b.context;
}

/// We are somewhere in the chain of Python's allocators.
bool in_chain = false;

/// Whether calls of Python's allocator still reach us although another stands first: tracemalloc, started in a session,
/// keeps us in its chain when the session is over.
bool reaches_us(const Interpreter& python) {
  const Nesting nesting;
  const Redirect redirect(1);
  void* block = python.api().mem_malloc(1);
  const bool reached = sampling::redirection.wanted == 0;
  python.api().mem_free(block);
  return reached;
}

constexpr Domain domains[] = {Domain::mem, Domain::object};

/// Whether it serves small objects from arenas and passes larger ones on to malloc() as they are. Debug allocators add
/// to them; tracemalloc has a context.
bool is_pymalloc(const Allocator& allocator) {
  if (allocator.context != nullptr || fails(Failpoint::sampling_allocator)) {
    return false;
  }
  const Nesting nesting;
  bool small_stays = false;
  bool large_passes = false;
  {
    const Redirect redirect(sampling::passed_on);
    void* block = allocator.malloc(allocator.context, sampling::pymalloc_limit);
    small_stays = sampling::redirection.wanted != 0;
    allocator.free(allocator.context, block);
  }
  {
    const Redirect redirect(sampling::passed_on);
    void* block = allocator.malloc(allocator.context, sampling::passed_on);
    large_passes = Redirect::was_passed_on();
    allocator.free(allocator.context, block);
  }
  return small_stays && large_passes;
}

/// Whether it hands everything on to malloc() as it is, as with PYTHONMALLOC=malloc: then that samples all.
bool is_malloc(const Allocator& allocator) {
  if (allocator.context != nullptr) {
    return false;
  }
  const Nesting nesting;
  const Redirect redirect(sampling::passed_on);
  void* block = allocator.malloc(allocator.context, sampling::pymalloc_limit);
  const bool passes = sampling::redirection.wanted == 0 && sampling::redirection.asked == sampling::pymalloc_limit;
  allocator.free(allocator.context, block);
  return passes;
}

}  // namespace

bool install_sampling_hooks(const Interpreter& python) {
  Allocator mem{};
  Allocator object{};
  python.api().get_allocator(Domain::mem, &mem);
  python.api().get_allocator(Domain::object, &object);
  // Saving ourselves as the one to pass on to would be a call without end.
  const bool is_there = mem.malloc == sampled_malloc || (in_chain && reaches_us(python));
  if (!is_there && is_same(mem, object) && is_malloc(mem)) {
    return true;
  }
  ArenaFunctions functions{};
  if (!find(functions) || (!is_there && !(is_same(mem, object) && is_pymalloc(mem)))) {
    return false;
  }
  ArenaAllocator current{};
  functions.get(&current);
  if (current.alloc != uncounted_arena) {
    arenas = current;
    current.alloc = uncounted_arena;
    functions.set(&current);
  }
  if (is_there) {
    pass(Mark::allocator_hook_in_chain);
    return true;
  }
  in_chain = true;
  pymalloc = mem;
  Allocator ours{nullptr, sampled_malloc, sampled_calloc, sampled_realloc, mem.free};
  for (const Domain domain : domains) {
    python.api().set_allocator(domain, &ours);
  }
  return true;
}

bool remove_sampling_hooks(const Interpreter& python) {
  if (!in_chain) {
    return true;
  }
  bool undisturbed = true;
  for (const Domain domain : domains) {
    Allocator current{};
    python.api().get_allocator(domain, &current);
    if (current.malloc == sampled_malloc) {
      python.api().set_allocator(domain, &pymalloc);
      in_chain = false;
    } else if (!reaches_us(python)) {
      // tracemalloc, started before the session and stopped during it, has put back what was there before it.
      pass(Mark::allocator_hook_lost);
      in_chain = false;
      undisturbed = false;
    }
  }
  ArenaFunctions functions{};
  ArenaAllocator current{};
  if (find(functions)) {
    functions.get(&current);
    if (current.alloc == uncounted_arena) {
      functions.set(&arenas);
    }
  }
  return undisturbed;
}

}  // namespace fil::python
