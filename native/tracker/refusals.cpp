// Allocations that fail, are refused, or are made to fail so that a cell lets go.
#include "block_events.hpp"
#include "system.hpp"

namespace fil {

void Tracker::failed(const Nesting&, Caller caller, std::uint32_t session, std::size_t bytes, bool refused) {
  if (session == 0 || !takes_part(session)) {
    return;
  }
  const Thread thread = calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (!is_under_way(session)) {
    return;
  }
  const SiteId site = site_of(guard, thread);
  ledger_.mark_failure(guard);
  segment::Failure& failure = view_.failure();
  failure.bytes.store(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
  failure.at_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
  failure.site.store(index_of(site), std::memory_order_relaxed);
  failure.thread.store(system::thread_id(), std::memory_order_relaxed);
  failure.refused.store(refused ? 1 : 0, std::memory_order_relaxed);
  // Pairs with the addon's snapshot.
  failure.count.store(failure.count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

bool Tracker::admits_large(const Nesting& nesting, Caller caller, std::uint32_t session, std::int64_t more,
                           Backed backed) {
  if (!takes_part(session) ||
      !guard_.refuses(more, view_.header().current_bytes.load(std::memory_order_relaxed), backed)) {
    return true;
  }
  // C code that runs without the GIL rarely expects a failure; but NumPy lets go of it for its arrays of zeros.
  const Thread thread = calling_thread(caller);
  const bool expects_failure = thread.gil == Gil::held || (thread.state != nullptr && backed == Backed::when_touched);
  if (!expects_failure || guard_.is_exempt_thread()) {
    return true;
  }
  guard_.take(segment::Taker::refused_allocation);
  guard_.note_refusal();
  failed(nesting, caller, session, static_cast<std::size_t>(more), true);
  return false;
}

bool Tracker::takes_request_by_interrupt(const Nesting& nesting) {
  if (!guard_.take(segment::Taker::interrupt)) {
    return false;
  }
  failed(nesting, Caller::python_allocator, session_now(), 0, true);
  return true;
}

bool Tracker::takes_request_by_failing(const Nesting& nesting, std::uint32_t session, std::size_t bytes) {
  if (!takes_part(session) || !guard_.is_main_thread()) {
    return false;
  }
  {
    // Only where code of the cell is on the stack: not while IPython draws a traceback or displays a result.
    const Thread thread = calling_thread(Caller::python_allocator);
    const ExclusiveGuard guard(exclusive_, thread.gil);
    if (!is_under_way(session) || site_of(guard, thread) == SiteId::no_python_stack) {
      return false;
    }
  }
  MemoryGuard::withdraw_failure();
  if (!guard_.take(segment::Taker::failed_python_allocation)) {
    return false;
  }
  failed(nesting, Caller::python_allocator, session, bytes, true);
  return true;
}

}  // namespace fil
