// The interposers of calls that map memory: mmap and its relatives, System V shared memory, the program break.
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "nesting.hpp"
#include "real_functions.hpp"
#include "system.hpp"
#include "tracker.hpp"

#define FIL_EXPORT extern "C" __attribute__((visibility("default")))

namespace fil {
namespace {

/// The kernel unmaps and protects whole pages.
std::size_t whole_pages(std::size_t bytes) {
  return segment::align_to_page(bytes);
}

/// The kernel refuses other addresses.
bool begins_a_page(const void* address) {
  const auto number = reinterpret_cast<std::uintptr_t>(address);
  return segment::align_to_page(number) == number;
}

/// MREMAP_DONTUNMAP (Linux 5.7): the pages move, the range stays.
constexpr int mremap_dontunmap = 4;

template <class Forward>
inline void* map(std::uint32_t session, void* address, const MapCall& call, Forward forward) {
  const Nesting nesting;
  if (!nesting.is_outermost()) {
    return forward();
  }
  const bool replaces = (call.flags & MAP_FIXED) != 0 && begins_a_page(address);
  if (replaces) {
    tracker.about_to_be_replaced(nesting, session, address, whole_pages(call.length));
  }
  void* mapped = forward();
  if (replaces && mapped != MAP_FAILED) {
    // Whatever stood there is gone, also if the new mapping does not count.
    tracker.replaced(nesting, session, address, whole_pages(call.length));
  } else if (replaces) {
    tracker.forget_if_unmapped(nesting, session, address, whole_pages(call.length));
  }
  if (mapped == MAP_FAILED && errno == ENOMEM) [[unlikely]] {
    tracker.failed(nesting, Caller::anyone, session, call.length, false);
    errno = ENOMEM;
  }
  Mapping mapping;
  if (mapped != MAP_FAILED && describe(call, mapping)) {
    tracker.mapped(nesting, session, mapped, call.length, mapping);
  }
  return mapped;
}

void* remap(std::uint32_t session, void* address, std::size_t old_length, std::size_t length, int flags, void* target) {
  const Nesting nesting;
  if (!nesting.is_outermost()) {
    return real.mremap(address, old_length, length, flags, target);
  }
  // An old length of 0 asks for a second mapping of the same memory.
  const Mappings::Before before = old_length == 0
                                      ? tracker.mapping_at(nesting, session, address)
                                      : tracker.unmapped(nesting, session, address, whole_pages(old_length));
  const bool replaces = (flags & MREMAP_FIXED) != 0 && begins_a_page(target);
  if (replaces) {
    tracker.about_to_be_replaced(nesting, session, target, whole_pages(length));
  }
  void* moved = real.mremap(address, old_length, length, flags, target);
  const bool is_refused = moved == MAP_FAILED;
  if (old_length != 0) {
    const Unmapping pages_only = (flags & mremap_dontunmap) != 0 ? Unmapping::only_of_pages : Unmapping::done;
    tracker.settle(nesting, session, before, is_refused ? Unmapping::refused : pages_only);
  }
  if (replaces && !is_refused) {
    tracker.replaced(nesting, session, moved, whole_pages(length));
  } else if (replaces) {
    // The kernel makes room first: in the target's place, and of what shrinks.
    tracker.forget_if_unmapped(nesting, session, target, whole_pages(length));
    if (length < old_length) {
      tracker.forget_if_unmapped(nesting, session, static_cast<std::byte*>(address) + whole_pages(length),
                                 whole_pages(old_length) - whole_pages(length));
    }
  }
  if (before.known() && !is_refused) {
    tracker.remapped(nesting, session, moved, length, before);
  }
  return moved;
}

Unmapping unmapping(bool is_done) {
  return is_done ? Unmapping::done : Unmapping::refused;
}

bool gives_pages_back(int advice) {
  return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE;
}

/// The program's own use of the break; malloc's comes by no interposer, or nested.
void break_moved(const Nesting& nesting, std::uint32_t session, std::byte* from, std::byte* to) {
  if (to > from) {
    tracker.mapped(nesting, session, from, static_cast<std::size_t>(to - from), Mapping{});
  }
}

}  // namespace
}  // namespace fil

using fil::is_off;
using fil::real;

FIL_EXPORT void* mmap(void* address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  const auto forward = [&] { return real.mmap(address, length, protection, flags, descriptor, offset); };
  const std::uint32_t session = fil::session_now();
  return is_off(session)
             ? forward()
             : fil::map(session, address, fil::MapCall{length, protection, flags, descriptor, offset}, forward);
}

FIL_EXPORT void* mmap64(void* address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  const auto forward = [&] { return real.mmap64(address, length, protection, flags, descriptor, offset); };
  const std::uint32_t session = fil::session_now();
  return is_off(session)
             ? forward()
             : fil::map(session, address, fil::MapCall{length, protection, flags, descriptor, offset}, forward);
}

FIL_EXPORT int munmap(void* address, size_t length) {
  if (const std::uint32_t session = fil::session_now(); !is_off(session)) {
    const fil::Nesting nesting;
    fil::Mappings::Before before;
    if (nesting.is_outermost() && fil::begins_a_page(address)) {
      before = fil::tracker.unmapped(nesting, session, address, fil::whole_pages(length));
    }
    const int result = real.munmap(address, length);
    // Refused where it would have cut a mapping in two, and there are as many as a process may have.
    fil::tracker.settle(nesting, session, before, fil::unmapping(result == 0));
    return result;
  }
  return real.munmap(address, length);
}

// Not in hooks.def: its fifth argument is there only with MREMAP_FIXED.
FIL_EXPORT void* mremap(void* address, size_t old_length, size_t length, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  void* target = (flags & (MREMAP_FIXED | fil::mremap_dontunmap)) != 0 ? va_arg(rest, void*) : nullptr;
  va_end(rest);
  const std::uint32_t session = fil::session_now();
  return is_off(session) ? real.mremap(address, old_length, length, flags, target)
                         : fil::remap(session, address, old_length, length, flags, target);
}

FIL_EXPORT int mprotect(void* address, size_t length, int protection) {
  const int result = real.mprotect(address, length, protection);
  if (const std::uint32_t session = fil::session_now(); !is_off(session) && result == 0) {
    const fil::Nesting nesting;
    if (nesting.is_outermost()) {
      fil::tracker.protected_anew(nesting, session, address, fil::whole_pages(length), protection != PROT_NONE);
    }
  }
  return result;
}

FIL_EXPORT int madvise(void* address, size_t length, int advice) {
  if (const std::uint32_t session = fil::session_now(); !is_off(session) && fil::gives_pages_back(advice)) {
    const fil::Nesting nesting;
    if (nesting.is_outermost()) {
      fil::tracker.measure(nesting, session, address, fil::whole_pages(length));
    }
  }
  const int result = real.madvise(address, length, advice);
  if (const std::uint32_t session = fil::session_now();
      !is_off(session) && result == 0 && fil::gives_pages_back(advice)) {
    const fil::Nesting nesting;
    if (nesting.is_outermost()) {
      fil::tracker.pages_given_back(nesting, session, address, fil::whole_pages(length));
    }
  }
  return result;
}

FIL_EXPORT void* shmat(int identifier, const void* address, int flags) {
  const std::uint32_t session = fil::session_now();
  if (is_off(session)) {
    return real.shmat(identifier, address, flags);
  }
  const fil::Nesting nesting;
  void* attached = real.shmat(identifier, address, flags);
  fil::Mapping mapping;
  std::size_t bytes = 0;
  if (attached != MAP_FAILED && nesting.is_outermost() && fil::describe_shared_segment(identifier, mapping, bytes)) {
    fil::tracker.mapped(nesting, session, attached, bytes, mapping);
  }
  return attached;
}

FIL_EXPORT int shmdt(const void* address) {
  if (const std::uint32_t session = fil::session_now(); !is_off(session)) {
    const fil::Nesting nesting;
    if (nesting.is_outermost()) {
      // Its size is not asked for: the mapping that begins there.
      fil::Mappings::Before before = fil::tracker.mapping_at(nesting, session, address);
      if (before.known()) {
        before = fil::tracker.unmapped(nesting, session, address, before.bytes);
      }
      const int result = real.shmdt(address);
      fil::tracker.settle(nesting, session, before, fil::unmapping(result == 0));
      return result;
    }
  }
  return real.shmdt(address);
}

FIL_EXPORT int brk(void* address) {
  const std::uint32_t session = fil::session_now();
  if (is_off(session)) {
    return real.brk(address);
  }
  const fil::Nesting nesting;
  auto* before = static_cast<std::byte*>(real.sbrk(0));
  auto* after = static_cast<std::byte*>(address);
  fil::Mappings::Before gone;
  if (nesting.is_outermost() && after < before) {
    gone = fil::tracker.unmapped(nesting, session, after, static_cast<std::size_t>(before - after));
  }
  const int result = real.brk(address);
  // Below the heap's beginning the kernel refuses, and the C library says 0 all the same.
  fil::tracker.settle(nesting, session, gone, fil::unmapping(real.sbrk(0) == address));
  if (nesting.is_outermost() && result == 0) {
    fil::break_moved(nesting, session, before, after);
  }
  return result;
}

FIL_EXPORT void* sbrk(intptr_t increment) {
  const std::uint32_t session = fil::session_now();
  if (is_off(session) || increment == 0) {
    return real.sbrk(increment);
  }
  const fil::Nesting nesting;
  fil::Mappings::Before gone;
  const auto* wanted = static_cast<std::byte*>(real.sbrk(0)) + increment;
  if (nesting.is_outermost() && increment < 0) {
    gone = fil::tracker.unmapped(nesting, session, wanted, static_cast<std::size_t>(-increment));
  }
  void* before = real.sbrk(increment);
  fil::tracker.settle(nesting, session, gone, fil::unmapping(real.sbrk(0) == wanted));
  if (nesting.is_outermost() && before != MAP_FAILED && increment > 0) {
    auto* start = static_cast<std::byte*>(before);
    fil::break_moved(nesting, session, start, start + increment);
  }
  return before;
}
