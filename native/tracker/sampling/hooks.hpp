// What a hook does in a sampled session. The usual block costs a subtraction when it is allocated, and a byte's look
// when it is freed.
#pragma once

#include "../nesting.hpp"
#include "../tracker.hpp"
#include "rate.hpp"

namespace fil::sampling {

/// A sampled small object of Python is given from outside of pymalloc's arenas: pymalloc is asked for more than it
/// serves itself and passes that on to malloc(), which recognizes the request and serves the size that is meant.
/// CPython then frees it by free(), which we see, while it frees all other objects by its own code, untouched by us.
struct Redirection {
  /// Bytes that malloc, calloc or realloc of this thread are to serve next; 0 for none.
  std::size_t wanted;
  /// What was asked of them.
  std::size_t asked;
};
[[gnu::tls_model("initial-exec")]] inline constinit thread_local Redirection redirection{0, 0};
/// More than pymalloc serves itself (SMALL_REQUEST_THRESHOLD of Objects/obmalloc.c, 512).
inline constexpr std::size_t pymalloc_limit = 512;
inline constexpr std::size_t passed_on = pymalloc_limit + 1;

/// While one lives, the next call of malloc() is taken for the redirected one.
class Redirect {
 public:
  explicit Redirect(std::size_t bytes) : countdown_(thread_sampler.make_due()) { redirection = {bytes, 0}; }
  ~Redirect() {
    redirection = {0, 0};
    thread_sampler.restore(countdown_);
  }
  Redirect(const Redirect&) = delete;
  Redirect& operator=(const Redirect&) = delete;
  /// Whether malloc() was asked for exactly what was passed on.
  static bool was_passed_on() { return redirection.wanted == 0 && redirection.asked == passed_on; }

 private:
  std::int64_t countdown_;
};

/// For an allocation that is due. `forward(bytes)` allocates.
template <class Forward>
[[gnu::noinline]] void* allocate_due(std::size_t bytes, Forward forward) {
  if (redirection.wanted != 0) {
    const std::size_t wanted = redirection.wanted;
    redirection = {0, bytes};
    return forward(wanted);
  }
  const std::uint32_t session = session_now();
  const Nesting nesting;
  const Choice choice = decide(bytes);
  void* block = forward(bytes);
  if (choice != Choice::not_counted && block != nullptr && nesting.is_outermost() && samples(session)) {
    tracker.sampled(nesting, Caller::anyone, session, block, bytes, choice);
  }
  return block;
}

template <class Forward>
inline void* allocate(std::size_t bytes, Forward forward) {
  return thread_sampler.is_due(bytes) ? allocate_due(bytes, forward) : forward(bytes);
}

/// The sample of a block that is about to be freed or moved, if it has one.
[[gnu::noinline]] inline Sample release_counted(const Nesting& nesting, Caller caller, const void* block) {
  const std::uint32_t session = session_now();
  return nesting.is_outermost() && samples(session) ? tracker.sample_released(nesting, caller, session, block)
                                                    : Sample{};
}

inline void release(const void* block) {
  if (may_be_counted(block)) [[unlikely]] {
    const Nesting nesting;
    release_counted(nesting, Caller::anyone, block);
  }
}

/// `forward(bytes)` is the C library's realloc of the block.
template <class Forward>
void* reallocate(const void* block, std::size_t bytes, Forward forward) {
  const std::uint32_t session = session_now();
  const bool is_due = thread_sampler.is_due(bytes);
  if (is_due && redirection.wanted != 0) {
    const std::size_t wanted = redirection.wanted;
    redirection = {0, bytes};
    return forward(wanted);
  }
  const Nesting nesting;
  const Choice choice = is_due ? decide(bytes) : Choice::not_counted;
  if (!nesting.is_outermost()) {
    return forward(bytes);
  }
  const Sample before = may_be_counted(block) ? release_counted(nesting, Caller::anyone, block) : Sample{};
  void* moved = forward(bytes);
  if (moved != nullptr) [[likely]] {
    if (choice != Choice::not_counted && samples(session)) {
      tracker.sampled(nesting, Caller::anyone, session, moved, bytes, choice);
    }
  } else if (bytes != 0 && before.address != 0) {
    // With 0 bytes glibc has freed the block.
    tracker.sample_not_released(nesting, Caller::anyone, session, before);
  }
  return moved;
}

}  // namespace fil::sampling
