// Calls inside calls: an allocation that is part of another one (malloc inside PyMem_Malloc, mmap inside malloc, our
// own) is not counted again.
#pragma once

#include "checks/checks.hpp"

namespace fil {

/// One level of hooked calls of this thread. Every recording function takes it, so that forgetting the check does not
/// compile.
class Nesting {
 public:
  Nesting() { ++depth_; }
  ~Nesting() {
    invariant([] { return depth_ != 0; }, "every level of nesting that is left was entered");
    --depth_;
  }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

  /// Whether this call was made by the program, and not by a call that is counted already.
  bool is_outermost() const { return depth_ == 1; }

  static bool inside() { return depth_ != 0; }

 private:
  // Initial-exec: the dynamic model may allocate on first use, which would call us.
  [[gnu::tls_model("initial-exec")]] static inline thread_local unsigned depth_ = 0;
};

}  // namespace fil
