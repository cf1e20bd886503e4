#include "real_functions.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "checks/checks.hpp"
#include "system.hpp"

namespace fil {
namespace {

/// dlsym() may allocate its error state (32 bytes in glibc 2.36) before it has found us an allocator.
alignas(16) char early_arena[16384];
size_t early_used = 0;
bool resolving = false;

void* early_block(size_t size) {
  const size_t rounded = (size + 15) & ~size_t{15};
  if (rounded < size || rounded > sizeof(early_arena) - early_used || fails(Failpoint::early_arena_full)) {
    return nullptr;
  }
  pass(Mark::early_block_given);
  void* block = early_arena + early_used;
  early_used += rounded;
  return block;
}

/// Stands for a function that the C library does not have, towards a program that asked whether there is one: the
/// interposer says yes.
template <class Result, class... Arguments>
Result missing(Arguments...) {
  errno = ENOSYS;
  if constexpr (__is_same(Result, void*)) {
    // Of the functions that return an address only mmap and mmap64 take six arguments.
    return sizeof...(Arguments) == 6 ? MAP_FAILED : nullptr;
  } else if constexpr (__is_same(Result, FILE*)) {
    return nullptr;
  } else if constexpr (__is_same(Result, int)) {
    return ENOSYS;
  }
}
template <class Result, class... Arguments>
auto missing_like(Result (*)(Arguments...)) -> Result (*)(Arguments...) {
  return missing<Result, Arguments...>;
}

/// For the failpoint: which function of hooks.def is missing.
[[maybe_unused]] bool made_missing(unsigned number) {
  if constexpr (is_checked_build) {
    return fails(Failpoint::missing_function) && checks::value_of(Failpoint::missing_function) == number;
  }
  return false;
}

void resolve_all() {
  resolving = true;
  [[maybe_unused]] unsigned number = 0;
#define FIL_HOOK(name, result, parameters, arguments)                                       \
  {                                                                                         \
    auto found = reinterpret_cast<result(*) parameters>(dlsym(RTLD_NEXT, #name));           \
    real.name = found == nullptr || made_missing(number) ? missing_like(real.name) : found; \
    ++number;                                                                               \
  }
#include "hooks.def"
#undef FIL_HOOK
  real.mremap = reinterpret_cast<decltype(real.mremap)>(dlsym(RTLD_NEXT, "mremap"));
  resolving = false;
}

/// What a stub answers to the calls that dlsym() itself makes: only allocation can happen then.
template <class Result>
Result while_resolving(size_t bytes) {
  if constexpr (__is_same(Result, void*)) {
    return early_block(bytes);
  } else if constexpr (__is_same(Result, FILE*)) {
    return nullptr;
  } else if constexpr (__is_same(Result, int)) {
    return -1;
  }
}

size_t bytes_asked(size_t size) {
  return size;
}
size_t bytes_asked(size_t count, size_t size) {
  return count * size;
}
template <class... Rest>
size_t bytes_asked(Rest...) {
  return ~size_t{0};
}

#define FIL_HOOK(name, result, parameters, arguments)        \
  result resolve_##name parameters {                         \
    if (resolving) {                                         \
      return while_resolving<result>(bytes_asked arguments); \
    }                                                        \
    resolve_all();                                           \
    return real.name arguments;                              \
  }
#include "hooks.def"
#undef FIL_HOOK

void* resolve_mremap(void* address, size_t old_length, size_t length, int flags, ...) {
  resolve_all();
  // The only caller is our own interposer, which passes the fifth argument whether it is used or not.
  __builtin_va_list rest;
  __builtin_va_start(rest, flags);
  void* target = __builtin_va_arg(rest, void*);
  __builtin_va_end(rest);
  return real.mremap(address, old_length, length, flags, target);
}

}  // namespace

constinit RealFunctions real = {
#define FIL_HOOK(name, result, parameters, arguments) .name = resolve_##name,
#include "hooks.def"
#undef FIL_HOOK
    .mremap = resolve_mremap,
};

bool is_early_block(const void* block) {
  return block >= early_arena && block < early_arena + sizeof(early_arena);
}

size_t early_bytes_from(const void* block) {
  return static_cast<size_t>(early_arena + sizeof(early_arena) - static_cast<const char*>(block));
}

}  // namespace fil
