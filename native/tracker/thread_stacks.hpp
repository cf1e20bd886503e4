// Where each thread's last walk is kept.
#pragma once

#include "python/call_stack.hpp"

namespace fil {

/// The calling thread's; null until make_own_call_stack(), and while the thread ends.
[[gnu::tls_model("initial-exec")]] inline constinit thread_local python::CallStack* own_call_stack = nullptr;

/// The calling thread's place in the bias of the lock; null where its call stack is.
[[gnu::tls_model("initial-exec")]] inline constinit thread_local Presence* own_presence = nullptr;

/// Makes both. False if there is no memory for it or the thread is ending.
bool make_own_call_stack();

/// Whether some thread has none for lack of memory, and not because it is ending.
bool call_stacks_ran_out();

/// Arranges that stacks of ended threads are used again. Before threads exist.
void prepare_thread_stacks();

/// After fork, in the child: another thread may have been in the middle of taking or giving back. The calling thread's
/// stack is as new where the kernel wipes it.
void forget_other_threads_stacks();

/// Calls `visit` for each part of the memory of all threads' stacks. While no event is under way anywhere.
void visit_stacks_of_threads(void (*visit)(void* context, const void* address, std::size_t bytes), void* context);

/// The same for a function object.
template <class Visit>
void each_threads_stack(Visit visit) {
  visit_stacks_of_threads(
      [](void* context, const void* address, std::size_t bytes) { (*static_cast<Visit*>(context))(address, bytes); },
      &visit);
}

}  // namespace fil
