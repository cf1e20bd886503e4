// The interposers: what the program calls instead of the C library. Each checks whether tracking is on, forwards,
// reports. With tracking off a call costs one load and a jump.
//
// operator new and Fortran's ALLOCATE arrive here through malloc and aligned_alloc. What maps memory is in
// mapping_interposers.cpp.
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "nesting.hpp"
#include "real_functions.hpp"
#include "thread_start.hpp"
#include "tracker.hpp"

#define FIL_EXPORT extern "C" __attribute__((visibility("default")))

namespace fil {
namespace {

/// An allocating call: forwards it, and reports the block if the call is the program's own.
template <class Forward>
inline void* allocate(std::size_t bytes, Forward forward) {
  const std::uint32_t session = session_now();
  const Nesting nesting;
  void* block = forward();
  if (block != nullptr && nesting.is_outermost()) {
    tracker.allocated(nesting, Caller::anyone, session, block, bytes);
  }
  return block;
}

void* reallocate(void* block, std::size_t bytes) {
  if (is_early_block(block)) {
    void* moved = malloc(bytes);
    if (moved != nullptr) {
      const std::size_t known = early_bytes_from(block);
      memcpy(moved, block, known < bytes ? known : bytes);
    }
    return moved;
  }
  const std::uint32_t session = session_now();
  const Nesting nesting;
  if (!nesting.is_outermost()) {
    return real.realloc(block, bytes);
  }
  Block before{SiteId::root, 0};
  if (block != nullptr) {
    before = tracker.released(nesting, Caller::anyone, session, block);
  }
  void* moved = real.realloc(block, bytes);
  if (moved != nullptr) {
    tracker.allocated(nesting, Caller::anyone, session, moved, bytes);
  } else if (bytes != 0) {
    // With 0 bytes glibc has freed the block.
    tracker.not_released(nesting, Caller::anyone, session, block, before);
  }
  return moved;
}

bool product_overflows(std::size_t count, std::size_t size, std::size_t& product) {
  return __builtin_mul_overflow(count, size, &product);
}

}  // namespace
}  // namespace fil

using fil::real;

static bool tracking() {
  return __builtin_expect(fil::session_now() != 0, 0);
}

FIL_EXPORT void* malloc(size_t size) {
  return !tracking() ? real.malloc(size) : fil::allocate(size, [&] { return real.malloc(size); });
}

FIL_EXPORT void* calloc(size_t count, size_t size) {
  // No overflow where the block exists.
  return !tracking() ? real.calloc(count, size) : fil::allocate(count * size, [&] { return real.calloc(count, size); });
}

FIL_EXPORT void* realloc(void* block, size_t size) {
  return !tracking() && !fil::is_early_block(block) ? real.realloc(block, size) : fil::reallocate(block, size);
}

FIL_EXPORT void* reallocarray(void* block, size_t count, size_t size) {
  size_t bytes = 0;
  if (!tracking() || fil::product_overflows(count, size, bytes)) {
    return real.reallocarray(block, count, size);
  }
  return fil::reallocate(block, bytes);
}

FIL_EXPORT void free(void* block) {
  if (tracking() && block != nullptr) {
    const std::uint32_t session = fil::session_now();
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
  if (!tracking()) {
    return real.posix_memalign(to, alignment, size);
  }
  int result = 0;
  fil::allocate(size, [&] {
    result = real.posix_memalign(to, alignment, size);
    return result == 0 ? *to : nullptr;
  });
  return result;
}

FIL_EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  return !tracking() ? real.aligned_alloc(alignment, size)
                     : fil::allocate(size, [&] { return real.aligned_alloc(alignment, size); });
}

FIL_EXPORT void* memalign(size_t alignment, size_t size) {
  return !tracking() ? real.memalign(alignment, size)
                     : fil::allocate(size, [&] { return real.memalign(alignment, size); });
}

FIL_EXPORT void* valloc(size_t size) {
  return !tracking() ? real.valloc(size) : fil::allocate(size, [&] { return real.valloc(size); });
}

FIL_EXPORT void* pvalloc(size_t size) {
  return !tracking() ? real.pvalloc(size)
                     : fil::allocate(fil::segment::align_to_page(size), [&] { return real.pvalloc(size); });
}

FIL_EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                              void* argument) {
  return !tracking() ? real.pthread_create(thread, attributes, start, argument)
                     : fil::create_thread(thread, attributes, start, argument);
}
