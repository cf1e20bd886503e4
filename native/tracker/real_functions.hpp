// The functions behind our interposers: libc's, or those of another preloaded allocator.
#pragma once

#include <pthread.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <threads.h>

namespace fil {

/// A pointer per hooked function. Each starts at a stub that resolves all of them, as libraries allocate before our
/// constructor runs.
struct RealFunctions {
#define FIL_HOOK(name, result, parameters, arguments) result(*name) parameters;
#include "hooks.def"
#undef FIL_HOOK
  void* (*mremap)(void* address, size_t old_length, size_t length, int flags, ...);
};

extern constinit RealFunctions real;

/// Whether the block is from the few bytes that dlsym() got while we were looking malloc up; such blocks are never
/// freed.
bool is_early_block(const void* block);
/// Size of an early block's remaining arena; an upper bound of what may be copied out of it.
size_t early_bytes_from(const void* block);

}  // namespace fil
