// The program may look at errno after a call that we intercepted: our own calls in between must not show.
#pragma once

#include <errno.h>

namespace fil::system {

class ErrnoKept {
 public:
  ErrnoKept() : saved_(errno) {}
  ~ErrnoKept() { errno = saved_; }
  ErrnoKept(const ErrnoKept&) = delete;
  ErrnoKept& operator=(const ErrnoKept&) = delete;

 private:
  int saved_;
};

}  // namespace fil::system
