// The setting of the running session and the calling thread's place on its points.
#pragma once

#include <atomic>
#include <cstdint>

#include "poisson.hpp"
#include "sampled_ledger.hpp"

namespace fil::sampling {

/// Mean distance of sampled bytes; set before a sampled session begins.
inline constinit std::atomic<std::uint64_t> mean_bytes{0};
inline std::uint64_t mean_now() {
  return mean_bytes.load(std::memory_order_relaxed);
}

/// Initial-exec: the dynamic model may allocate on first use, which would call us.
[[gnu::tls_model("initial-exec")]] inline constinit thread_local Sampler thread_sampler{};

/// Gives the calling thread a seed of its own. Makes no system call.
void seed_this_thread();
/// All later seeds follow from this one: runs of one thread can be repeated.
void fix_seeds(std::uint64_t seed);

/// What to do with a block of which is_due() was true.
inline Choice decide(std::size_t bytes) {
  if (thread_sampler.needs_seed()) [[unlikely]] {
    seed_this_thread();
  }
  return thread_sampler.decide(bytes, mean_now());
}

inline Half random_half() {
  if (thread_sampler.needs_seed()) [[unlikely]] {
    seed_this_thread();
  }
  return (thread_sampler.random() >> 63) == 0 ? Half::first : Half::second;
}

}  // namespace fil::sampling
