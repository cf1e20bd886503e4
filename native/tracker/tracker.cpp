#include "tracker.hpp"

#include <stdlib.h>
#include <unistd.h>

#include "../shared/environment.hpp"
#include "python/allocator_hooks.hpp"
#include "python/code_watch.hpp"
#include "system.hpp"
#include "thread_stacks.hpp"

namespace fil {
namespace {

/// Where this thread was created, for threads without Python frames.
struct Inherited {
  std::uint32_t session;
  SiteId site;
};
[[gnu::tls_model("initial-exec")]] thread_local Inherited inherited{0, SiteId::root};

}  // namespace

constinit Tracker tracker;

void Tracker::attach() {
  const char* descriptor_text = getenv(environment::segment_descriptor);
  if (descriptor_text == nullptr) {
    return;
  }
  const int descriptor = atoi(descriptor_text);
  auto* base = static_cast<std::byte*>(system::map_shared(descriptor, segment::total_bytes));
  if (base == nullptr) {
    system::refuse(1,
                   "The shared memory for profiling could not be mapped (is the address space limited by ulimit -v?). ",
                   "Raise the limit, or start the program without Fil.");
  }
  // Nothing of ours is left for the program to see or to pass on.
  system::close_descriptor(descriptor);
  unsetenv(environment::segment_descriptor);
  const segment::Header& header = *reinterpret_cast<segment::Header*>(base);
  if (header.magic != segment::magic || header.layout_version != segment::layout_version) {
    system::refuse(
        1, "The tracker and the kernel program are of different versions of Fil (their shared memory differs). ",
        "Reinstall filprofiler; in a checkout, run npm run setup.");
  }
  view_ = segment::View{base};
  ledger_ = Ledger(view_);
  view_.header().pid = getpid();
  view_.header().state.store(segment::State::attached, std::memory_order_release);
}

const char* Tracker::why_unfit() {
  if (forked_) {
    return "This process was forked from a profiled one. Only the parent can be profiled.";
  }
  if (!attached()) {
    return "This process was not started by Fil.";
  }
  if (!python_.found()) {
    if (const char* problem = python_.find()) {
      return problem;
    }
  }
  // Also the check of the layout's first offset; the self-test of filprofiler/_tracker.py checks the others.
  if (const std::byte* running = python_.running_thread();
      running == nullptr || !python_.of_main_interpreter(running)) {
    return "Tracking can only be begun by Python code of the main interpreter.";
  }
  return nullptr;
}

const char* Tracker::begin(const void* const* boundaries, std::size_t count) {
  if (const char* problem = why_unfit()) {
    return problem;
  }
  if (session_now() != 0) {
    return "Tracking is on already.";
  }
  if (!prepared_) {
    tree_ = CallTree(view_, python_);
    if (!tree_.prepare() || !blocks_.prepare() || !mappings_.prepare()) {
      return "There is not enough address space for the profiler's tables (is it limited by ulimit -v?).";
    }
    if (!python::watch_code(python_, [](const void* code) { tracker.code_died(code); })) {
      return "All of Python's code watchers are taken by other tools, so Fil could not notice when code objects are "
             "freed.";
    }
    if (system::register_barrier()) {
      exclusive_.allow_bias();
    }
    prepared_ = true;
  }
  segment::Header& header = view_.header();
  {
    const ExclusiveGuard guard(exclusive_, Gil::not_held);
    tree_.reset(guard);
    for (std::size_t i = 0; i < count; ++i) {
      tree_.add_boundary(guard, boundaries[i]);
    }
    ++epoch_;
    header.python_version_hex = static_cast<std::uint32_t>(*python_.api().version);
    header.ended_nanoseconds.store(0, std::memory_order_relaxed);
    header.began_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
    header.session.store(++sessions_, std::memory_order_relaxed);
    header.state.store(segment::State::tracking, std::memory_order_release);
  }
  python::install_allocator_hooks(python_);
  active_session.store(sessions_, std::memory_order_release);
  return nullptr;
}

void Tracker::end() {
  if (session_now() == 0) {
    return;
  }
  if (!python::remove_allocator_hooks(python_)) {
    tree_.degrade(segment::Degradation::allocator_replaced);
  }
  // Without the bias, so that threads with and without the GIL are both kept out: an event in another thread is either
  // over now or finds the session gone.
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  active_session.store(0, std::memory_order_relaxed);
  segment::Header& header = view_.header();
  header.ended_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
  header.state.store(segment::State::attached, std::memory_order_release);
  blocks_.clear(guard);
  mappings_.clear(guard);
}

Tracker::Thread Tracker::calling_thread(Caller caller) const {
  const std::byte* running = python_.running_thread();
  // Until 3.11 the running thread is the process's, so others have to compare it with their own.
  const std::byte* own = caller == Caller::python_allocator && running != nullptr ? running : python_.this_thread();
  const bool held = running != nullptr && running == own && python_.of_main_interpreter(own);
  return Thread{held ? Gil::held : Gil::not_held, own};
}

SiteId Tracker::site_of(const ExclusiveGuard& guard, const Thread& thread) {
  SiteId site = SiteId::root;
  if (thread.state != nullptr) [[likely]] {
    if (python::CallStack* stack = call_stack_of_this_thread()) {
      site = stack->site(guard, thread.gil, tree_, python_, thread.state, epoch_);
    }
  }
  if (site != SiteId::root) [[likely]] {
    return site;
  }
  return inherited.session == session_now() && inherited.site != SiteId::root ? inherited.site
                                                                              : SiteId::no_python_stack;
}

void Tracker::put(const ExclusiveGuard& guard, const void* address, std::size_t bytes, SiteId site) {
  const bool stored =
      blocks_.put(guard, address, bytes, site, [&](Block stale) { ledger_.release(guard, stale.site, stale.bytes); });
  if (stored) [[likely]] {
    ledger_.allocate(guard, site, BlockTable::counted_bytes(bytes));
  } else {
    tree_.degrade(segment::Degradation::tracker_memory_exhausted);
  }
}

void Tracker::allocated(const Nesting&, Caller caller, std::uint32_t session, const void* block, std::size_t bytes) {
  const Thread thread = calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session == session_now()) {
    put(guard, block, bytes, site_of(guard, thread));
  }
}

Block Tracker::released(const Nesting&, Caller caller, std::uint32_t session, const void* address) {
  const Thread thread = calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session != session_now()) {
    return Block{SiteId::root, 0};
  }
  const Block block = blocks_.take(guard, address);
  if (block.bytes != 0) {
    ledger_.release(guard, block.site, block.bytes);
  }
  return block;
}

void Tracker::not_released(const Nesting&, Caller caller, std::uint32_t session, const void* address, Block block) {
  const Thread thread = calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session == session_now() && block.bytes != 0) {
    put(guard, address, static_cast<std::size_t>(block.bytes), block.site);
  }
}

void Tracker::mapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  const Thread thread = calling_thread(Caller::anyone);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session != session_now()) {
    return;
  }
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  // A fixed mapping replaces what it covers.
  mappings_.remove(guard, start, bytes, [&](SiteId site, std::int64_t gone) { ledger_.release(guard, site, gone); });
  const SiteId site = site_of(guard, thread);
  if (mappings_.insert(guard, start, bytes, site)) {
    ledger_.allocate(guard, site, static_cast<std::int64_t>(bytes));
  } else {
    tree_.degrade(segment::Degradation::tracker_memory_exhausted);
  }
}

std::int64_t Tracker::unmapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  const Thread thread = calling_thread(Caller::anyone);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  std::int64_t counted = 0;
  if (session == session_now()) {
    mappings_.remove(guard, reinterpret_cast<std::uintptr_t>(address), bytes, [&](SiteId site, std::int64_t gone) {
      ledger_.release(guard, site, gone);
      counted += gone;
    });
  }
  return counted;
}

void Tracker::code_died(const void* code) {
  if (session_now() == 0) {
    return;
  }
  const Thread thread = calling_thread(Caller::python_allocator);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (tree_.forget_code(guard, code)) {
    ++epoch_;
  }
}

SiteId Tracker::current_site(const Nesting&, std::uint32_t session) {
  const Thread thread = calling_thread(Caller::anyone);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  return session == session_now() ? site_of(guard, thread) : SiteId::root;
}

void Tracker::inherit(std::uint32_t session, SiteId site) {
  inherited = Inherited{session, site};
}

void Tracker::detach_in_child() {
  active_session.store(0, std::memory_order_relaxed);
  exclusive_.reset();
  if (attached()) {
    forked_ = true;
  }
}

}  // namespace fil
