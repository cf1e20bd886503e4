// Blocks that come and go: what runs at every event, so all of it is inlined into the hooks. What is rare stands in
// functions of its own (block_events.cpp), or its registers would be saved at every event.
#pragma once

#include "checks/audit.hpp"
#include "thread_stacks.hpp"
#include "tracker.hpp"

namespace fil {

// `caller` is a constant at each place of call. Python's allocator is called by the running thread; until 3.11 others
// have to compare the running one, which is the process's, with their own.

[[gnu::always_inline]] inline Tracker::Thread Tracker::calling_thread(Caller caller) const {
  invariant([&] { return !is_program_; }, "only a Python that is followed knows its threads");
  const std::byte* running = python_.running_thread();
  const bool knows_itself = caller == Caller::python_allocator || python_.running_thread_is_own();
  const std::byte* own = knows_itself && running != nullptr ? running : python_.this_thread();
  const bool held = running != nullptr && running == own && python_.of_main_interpreter(own);
  return Thread{held ? Gil::held : Gil::not_held, own};
}

[[gnu::always_inline]] inline Gil Tracker::gil_of_calling_thread(Caller caller) const {
  const std::byte* running = python_.running_thread();
  const bool knows_itself = caller == Caller::python_allocator || python_.running_thread_is_own();
  const bool held =
      running != nullptr && (knows_itself || running == python_.this_thread()) && python_.of_main_interpreter(running);
  return held ? Gil::held : Gil::not_held;
}

[[gnu::always_inline]] inline SiteId Tracker::site_of(const ExclusiveGuard& guard, const Thread& thread) {
  python::CallStack* stack = own_call_stack;
  if (thread.state == nullptr || stack == nullptr) [[unlikely]] {
    return site_of_newcomer(guard, thread);
  }
  const SiteId site = stack->site(guard, thread.gil, tree_, python_, thread.state, epoch_);
  if constexpr (is_checked_build) {
    audit_stack(guard, thread, *stack, site);
  }
  return site != SiteId::root ? site : site_of_creator();
}

[[gnu::always_inline]] inline void Tracker::put(const ExclusiveGuard& guard, const void* address, std::size_t bytes,
                                                SiteId site) {
  if (mappings_.wants_measuring()) [[unlikely]] {
    // Before the block counts: a peak that it makes has what was touched until then.
    measure_mappings(guard, bytes);
  }
  const bool stored = blocks_.put(guard, address, bytes, site, [&](Block stale) { release_stale(guard, stale); });
  if (stored) [[likely]] {
    ledger_.allocate(guard, site, BlockTable::counted_bytes(bytes));
    if constexpr (is_checked_build) {
      checks::audit_totals_sometimes(guard, view_);
    }
  } else {
    tree_.degrade(segment::Degradation::tracker_memory_exhausted);
  }
}

[[gnu::always_inline]] inline void Tracker::allocated(const Nesting& nesting, Caller caller, std::uint32_t session,
                                                      const void* block, std::size_t bytes) {
  const checks::ErrnoWatch errno_watch;
  if (!takes_part(session) && !joins_with(nesting, caller, session, block)) [[unlikely]] {
    return;
  }
  const Thread thread = calling_thread(caller);
  bool has_news = false;
  {
    const ExclusiveGuard guard(exclusive_, thread.gil, own_presence);
    if (is_under_way(session)) [[likely]] {
      put(guard, block, bytes, site_of(guard, thread));
      has_news = tree_.take_news(guard);
    } else {
      pass(Mark::event_of_other_session);
    }
  }
  // Without the lock, as libraries allocate in other threads. New lines of the program run: libraries may have come.
  if (has_news) [[unlikely]] {
    if (limits_thread_pools_ && caller == Caller::python_allocator && thread.gil == Gil::held) {
      look_for_thread_pools();
    }
  }
}

[[gnu::always_inline]] inline Block Tracker::released(const Nesting& nesting, Caller caller, std::uint32_t session,
                                                      const void* address) {
  const checks::ErrnoWatch errno_watch;
  if (!takes_part(session)) [[unlikely]] {
    released_by_outsider(nesting, session, address);
    return Block{SiteId::root, 0};
  }
  const Gil gil = gil_of_calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, gil, own_presence);
  if (!is_under_way(session)) [[unlikely]] {
    return Block{SiteId::root, 0};
  }
  const Block block = blocks_.take(guard, address);
  if (block.bytes != 0) [[likely]] {
    ledger_.release(guard, block.site, block.bytes);
  }
  return block;
}

}  // namespace fil
