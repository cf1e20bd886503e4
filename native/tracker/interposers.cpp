// The interposers: what the program calls instead of the C library. Each checks whether tracking is on, forwards,
// reports. With tracking off a call costs one load and a jump.
//
// operator new and Fortran's ALLOCATE arrive here through malloc and aligned_alloc. What maps memory is in
// mapping_interposers.cpp.
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "block_events.hpp"
#include "nesting.hpp"
#include "real_functions.hpp"
#include "sampling/hooks.hpp"
#include "thread_start.hpp"

#define FIL_EXPORT extern "C" __attribute__((visibility("default")))

namespace fil {
namespace {

/// Notes a call that failed for want of memory; wrong arguments are the program's own business.
[[gnu::cold, gnu::noinline]] void note_failure(const Nesting& nesting, std::uint32_t session, std::size_t bytes) {
  if (errno == ENOMEM) {
    tracker.failed(nesting, Caller::anyone, session, bytes, false);
    errno = ENOMEM;
  }
}

/// Whether a call may be refused before memory runs out.
enum class Refusable { no, yes };

/// An allocating call: forwards it, and reports the block if the call is the program's own.
template <Refusable refusable, class Forward>
inline void* allocate(std::uint32_t session, std::size_t bytes, Backed backed, Forward forward) {
  if (samples(session)) {
    return sampling::allocate(bytes, [&](std::size_t) { return forward(); });
  }
  const Nesting nesting;
  if (!nesting.is_outermost()) {
    return forward();
  }
  if constexpr (refusable == Refusable::yes) {
    if (bytes <= PTRDIFF_MAX &&
        !tracker.admits(nesting, Caller::anyone, session, static_cast<std::int64_t>(bytes), backed)) {
      errno = ENOMEM;
      return nullptr;
    }
  }
  void* block = forward();
  if (block != nullptr) [[likely]] {
    tracker.allocated(nesting, Caller::anyone, session, block, bytes);
  } else {
    note_failure(nesting, session, bytes);
  }
  return block;
}

void* reallocate(std::uint32_t session, void* block, std::size_t bytes) {
  if (is_early_block(block)) {
    void* moved = malloc(bytes);
    if (moved != nullptr) {
      const std::size_t known = early_bytes_from(block);
      memcpy(moved, block, known < bytes ? known : bytes);
    }
    return moved;
  }
  if (samples(session)) {
    return sampling::reallocate(block, bytes, [&](std::size_t size) { return real.realloc(block, size); });
  }
  const Nesting nesting;
  if (!nesting.is_outermost()) {
    return real.realloc(block, bytes);
  }
  Block before{SiteId::root, 0};
  if (block != nullptr) {
    before = tracker.released(nesting, Caller::anyone, session, block);
  }
  const bool refused =
      bytes <= PTRDIFF_MAX && !tracker.admits(nesting, Caller::anyone, session,
                                              static_cast<std::int64_t>(bytes) - before.bytes, Backed::at_once);
  if (refused) {
    errno = ENOMEM;
  }
  void* moved = refused ? nullptr : real.realloc(block, bytes);
  if (moved != nullptr) [[likely]] {
    tracker.allocated(nesting, Caller::anyone, session, moved, bytes);
  } else if (bytes != 0) {
    // With 0 bytes glibc has freed the block.
    tracker.not_released(nesting, Caller::anyone, session, block, before);
    if (!refused) {
      note_failure(nesting, session, bytes);
    }
  }
  return moved;
}

bool product_overflows(std::size_t count, std::size_t size, std::size_t& product) {
  return __builtin_mul_overflow(count, size, &product);
}

}  // namespace
}  // namespace fil

using fil::is_off;
using fil::real;

FIL_EXPORT void* malloc(size_t size) {
  const std::uint32_t session = fil::session_now();
  if (is_off(session)) {
    return real.malloc(size);
  }
  return fil::samples(session) ? fil::sampling::allocate(size, [](size_t bytes) { return real.malloc(bytes); })
                               : fil::allocate<fil::Refusable::yes>(session, size, fil::Backed::at_once,
                                                                    [&] { return real.malloc(size); });
}

FIL_EXPORT void* calloc(size_t count, size_t size) {
  const std::uint32_t session = fil::session_now();
  size_t bytes = 0;
  if (is_off(session) || fil::product_overflows(count, size, bytes)) {
    return real.calloc(count, size);
  }
  return fil::samples(session) ? fil::sampling::allocate(bytes, [](size_t wanted) { return real.calloc(1, wanted); })
                               : fil::allocate<fil::Refusable::yes>(session, bytes, fil::Backed::when_touched,
                                                                    [&] { return real.calloc(count, size); });
}

FIL_EXPORT void* realloc(void* block, size_t size) {
  const std::uint32_t session = fil::session_now();
  return is_off(session) && !fil::is_early_block(block) ? real.realloc(block, size)
                                                        : fil::reallocate(session, block, size);
}

FIL_EXPORT void* reallocarray(void* block, size_t count, size_t size) {
  const std::uint32_t session = fil::session_now();
  size_t bytes = 0;
  if (is_off(session) || fil::product_overflows(count, size, bytes)) {
    return real.reallocarray(block, count, size);
  }
  return fil::reallocate(session, block, bytes);
}

FIL_EXPORT void free(void* block) {
  const std::uint32_t session = fil::session_now();
  if (fil::samples(session)) {
    fil::sampling::release(block);
  } else if (!is_off(session) && block != nullptr) {
    const fil::Nesting nesting;
    if (nesting.is_outermost()) {
      fil::tracker.released(nesting, fil::Caller::anyone, session, block);
    }
    if (!fil::is_early_block(block)) {
      real.free(block);
    }
    return;
  }
  if (!fil::is_early_block(block)) {
    real.free(block);
  }
}

FIL_EXPORT int posix_memalign(void** to, size_t alignment, size_t size) {
  const std::uint32_t session = fil::session_now();
  if (is_off(session)) {
    return real.posix_memalign(to, alignment, size);
  }
  int result = ENOMEM;
  // It tells its error by its result.
  const int saved_errno = errno;
  fil::allocate<fil::Refusable::yes>(session, size, fil::Backed::at_once, [&] {
    result = real.posix_memalign(to, alignment, size);
    errno = result;
    return result == 0 ? *to : nullptr;
  });
  errno = saved_errno;
  return result;
}

FIL_EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  const std::uint32_t session = fil::session_now();
  return is_off(session) ? real.aligned_alloc(alignment, size)
                         : fil::allocate<fil::Refusable::no>(session, size, fil::Backed::at_once,
                                                             [&] { return real.aligned_alloc(alignment, size); });
}

FIL_EXPORT void* memalign(size_t alignment, size_t size) {
  const std::uint32_t session = fil::session_now();
  return is_off(session) ? real.memalign(alignment, size)
                         : fil::allocate<fil::Refusable::no>(session, size, fil::Backed::at_once,
                                                             [&] { return real.memalign(alignment, size); });
}

FIL_EXPORT void* valloc(size_t size) {
  const std::uint32_t session = fil::session_now();
  return is_off(session) ? real.valloc(size)
                         : fil::allocate<fil::Refusable::no>(session, size, fil::Backed::at_once,
                                                             [&] { return real.valloc(size); });
}

FIL_EXPORT void* pvalloc(size_t size) {
  const std::uint32_t session = fil::session_now();
  return is_off(session) ? real.pvalloc(size)
                         : fil::allocate<fil::Refusable::no>(session, fil::segment::align_to_page(size),
                                                             fil::Backed::at_once, [&] { return real.pvalloc(size); });
}

FIL_EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                              void* argument) {
  const std::uint32_t session = fil::session_now();
  return is_off(session) ? real.pthread_create(thread, attributes, start, argument)
                         : fil::create_thread(session, thread, attributes, start, argument);
}

FIL_EXPORT int thrd_create(thrd_t* thread, thrd_start_t start, void* argument) {
  const std::uint32_t session = fil::session_now();
  return is_off(session) ? real.thrd_create(thread, start, argument)
                         : fil::create_thread(session, thread, start, argument);
}
