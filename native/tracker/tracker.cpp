#include "tracker.hpp"

#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "../shared/environment.hpp"
#include "checks/audit.hpp"
#include "python/allocator_hooks.hpp"
#include "python/code_watch.hpp"
#include "python/sampling_hooks.hpp"
#include "residency.hpp"
#include "system.hpp"
#include "thread_pools.hpp"
#include "thread_stacks.hpp"

namespace fil {
namespace {

/// Where this thread was created, for threads without Python frames.
struct Inherited {
  std::uint32_t session;
  SiteId site;
};
[[gnu::tls_model("initial-exec")]] thread_local Inherited inherited{0, SiteId::root};

/// When files and reservations are measured anew, beside the calls that map: before a large block, and every so many
/// events.
constexpr std::size_t worth_measuring_bytes = std::size_t{1} << 20;
constexpr std::uint32_t events_between_measuring = 4096;

/// With a limited address space the segment takes a 32nd of it at most: the rest is the program's.
constexpr std::size_t part_of_address_space = 32;
std::uint32_t scale_for(std::size_t address_space) {
  std::uint32_t scale = 0;
  while (scale < segment::largest_scale && segment::bytes_at_scale(scale) > address_space / part_of_address_space) {
    ++scale;
  }
  return scale;
}

/// A mapping that has moved, or was not unmapped after all.
Range range_of(const void* address, std::size_t bytes, SiteId site, const Mappings::Before& before) {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  const Counting counting = before.counting == Counting::counted_elsewhere ? Counting::whole : before.counting;
  return Range{start, start + bytes, 0, site, counting, before.is_file, before.object, before.offset};
}

/// By which the segment is laid out.
constexpr unsigned long page_bytes = 4096;

/// Sessions that held less are over too soon to measure our own tables.
constexpr std::int64_t worth_measuring_ourselves = 1 << 20;

}  // namespace

constinit Tracker tracker;

void Tracker::attach(std::uint32_t least_scale) {
  const char* descriptor_text = getenv(environment::segment_descriptor);
  if (descriptor_text == nullptr) {
    return;
  }
  const int descriptor = atoi(descriptor_text);
  if (getauxval(AT_PAGESZ) != page_bytes) {
    return run_untracked("This kernel's pages are not of 4 KiB, as Fil's shared memory needs them.");
  }
  // Nothing of ours is left for the program to see or to pass on.
  if (system::size_of(descriptor) < segment::total_bytes) {
    return run_untracked("The shared memory for profiling is missing or too small: was its descriptor closed?");
  }
  std::uint32_t scale = scale_for(system::address_space_limit());
  scale = scale < least_scale ? least_scale : scale;
  auto* base = static_cast<std::byte*>(system::map_shared(descriptor, segment::bytes_at_scale(scale)));
  while (base == nullptr && scale < segment::largest_scale) {
    base = static_cast<std::byte*>(system::map_shared(descriptor, segment::bytes_at_scale(++scale)));
  }
  if (base != nullptr && getenv(environment::sampling) != nullptr) {
    sampled_view_.scale = scale;
    map_sampled(descriptor);
  }
  unsetenv(environment::sampling);
  system::close_descriptor(descriptor);
  if (base == nullptr) {
    return run_untracked(
        "The shared memory for profiling could not be mapped (is the address space limited by ulimit -v?). "
        "Raise the limit to profile this program.");
  }
  const segment::Header& header = *reinterpret_cast<segment::Header*>(base);
  if (header.magic != segment::magic || header.layout_version != segment::layout_version ||
      fails(Failpoint::segment_layout)) {
    system::unreserve(base, segment::bytes_at_scale(scale));
    return run_untracked(
        "The tracker and the program that started it are of different versions of Fil (their shared memory differs). "
        "Reinstall filprofiler; in a checkout, run npm run setup.");
  }
  view_ = segment::View{base, scale};
  view_.header().scale = scale;
  ledger_ = Ledger(view_);
  unsetenv(environment::segment_descriptor);
  guard_.attach(view_);
  view_.header().pid = getpid();
  view_.header().state.store(segment::State::attached, std::memory_order_release);
}

void Tracker::run_untracked(const char* sentence) {
  problem_ = sentence;
  unsetenv(environment::segment_descriptor);
  system::say(sentence, " The program runs without being profiled.");
}

const char* Tracker::why_unfit() {
  if (forked_) {
    return "This process was forked from a profiled one. Only the parent can be profiled.";
  }
  if (problem_ != nullptr) {
    return problem_;
  }
  if (!attached()) {
    // Still there if no Python was found at the start, as in a shell that only starts one.
    return getenv(environment::segment_descriptor) != nullptr ? python::Interpreter::exports_nothing
                                                              : "This process was not started by Fil.";
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

const char* Tracker::begin(const void* const* boundaries, std::size_t count, std::uint64_t sampling_mean_bytes) {
  if (const char* problem = why_unfit()) {
    return problem;
  }
  if (session_now() != 0) {
    return "Tracking is on already.";
  }
  if (!prepared_) {
    tree_ = CallTree(view_, python_);
    if (!tree_.prepare() || !blocks_.prepare()) {
      return "There is not enough address space for the profiler's tables (is it limited by ulimit -v?).";
    }
    if (fails(Failpoint::watch_code) ||
        !python::watch_code(python_, [](const void* code) { tracker.code_died(code); })) {
      return "All of Python's code watchers are taken by other tools, so Fil could not notice when code objects are "
             "freed.";
    }
    if (system::register_barrier()) {
      exclusive_.allow_bias();
    }
    prepared_ = true;
  }
  if (sampling_mean_bytes != 0 && (sampled_view_.base == nullptr || !samples_.prepare())) {
    return "There is not enough memory or address space for the sampler's tables (is it limited by ulimit -v?).";
  }
  segment::Header& header = view_.header();
  {
    const ExclusiveGuard guard(exclusive_, Gil::not_held);
    begin_sampling(guard, sampling_mean_bytes);
    tree_.reset(guard);
    for (std::size_t i = 0; i < count; ++i) {
      tree_.add_boundary(guard, boundaries[i]);
    }
    view_.failure().count.store(0, std::memory_order_relaxed);
    ++epoch_;
    header.python_version_hex = static_cast<std::uint32_t>(*python_.api().version);
    header.ended_nanoseconds.store(0, std::memory_order_relaxed);
    header.began_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
    header.own_bytes.store(0, std::memory_order_relaxed);
    header.session.store(++sessions_, std::memory_order_relaxed);
    header.state.store(segment::State::tracking, std::memory_order_release);
  }
  if (sampling_mean_bytes != 0) {
    // Before the hooks, which try how Python's allocator behaves; nothing is entered until a block is chosen.
    active_session.store(sessions_ | sampled_session, std::memory_order_release);
    if (!python::install_sampling_hooks(python_)) {
      tree_.degrade(segment::Degradation::small_objects_missing);
    }
    return nullptr;
  }
  python::install_allocator_hooks(python_);
  active_session.store(sessions_, std::memory_order_release);
  return nullptr;
}

void Tracker::end() {
  if (session_now() == 0) {
    return;
  }
  const bool sampled = samples(session_now());
  if (!(sampled ? python::remove_sampling_hooks(python_) : python::remove_allocator_hooks(python_))) {
    tree_.degrade(segment::Degradation::allocator_replaced);
  }
  // Without the bias, so that threads with and without the GIL are both kept out: an event in another thread is either
  // over now or finds the session gone.
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  active_session.store(0, std::memory_order_relaxed);
  if (mappings_.wants_measuring()) {
    mappings_.measure_all(guard, ledger_);
  }
  segment::Header& header = view_.header();
  header.ended_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
  header.state.store(segment::State::attached, std::memory_order_release);
  if constexpr (is_checked_build) {
    if (!sampled) {
      audit_session(guard);
    }
  }
  if (sampled) {
    sampled_rows_ = header.site_count.load(std::memory_order_relaxed);
  }
  if (header.peak_bytes.load(std::memory_order_relaxed) >= worth_measuring_ourselves) {
    header.own_bytes.store(own_bytes(guard), std::memory_order_relaxed);
  }
  blocks_.clear(guard);
  if (sampled) {
    samples_.clear(guard);
  }
  mappings_.clear(guard);
}

/// Resident memory of all tables.
std::uint64_t Tracker::own_bytes(const ExclusiveGuard& guard) const {
  std::int64_t sum = 0;
  const auto add = [&](const void* address, std::size_t bytes) {
    const auto start = reinterpret_cast<std::uintptr_t>(address);
    const std::int64_t resident = system::resident_bytes(start, start + bytes);
    sum += resident < 0 ? 0 : resident;
  };
  blocks_.each_reservation(guard, add);
  tree_.each_reservation(guard, add);
  mappings_.each_reservation(guard, add);
  if (samples(session_now()) || samples_.size() != 0) {
    samples_.each_reservation(guard, add);
    add(sampled_view_.base, segment::sampled_bytes_at_scale(sampled_view_.scale));
  }
  each_threads_stack([&](const void* address, std::size_t bytes) { add(address, bytes); });
  return static_cast<std::uint64_t>(sum);
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
    if (python::CallStack* stack = call_stack_of_this_thread()) [[likely]] {
      site = stack->site(guard, thread.gil, tree_, python_, thread.state, epoch_);
      if constexpr (is_checked_build) {
        audit_stack(guard, thread, *stack, site);
      }
    } else if (call_stacks_ran_out()) {
      tree_.degrade(segment::Degradation::stacks_missing);
    }
  }
  if (site != SiteId::root) [[likely]] {
    return site;
  }
  if (inherited.session == session_now() && inherited.site != SiteId::root) {
    pass(Mark::stack_inherited);
    return inherited.site;
  }
  return SiteId::no_python_stack;
}

/// Finds the site again, without what the thread's last walks left.
void Tracker::audit_stack(const ExclusiveGuard& guard, const Thread& thread, const python::CallStack& stack,
                          SiteId found) {
  static python::CallStack* uncached = nullptr;
  static std::size_t events_until_next = 0;
  if (events_until_next-- != 0 || checks::is_failing() ||
      view_.header().degradations.load(std::memory_order_relaxed) != 0) {
    return;
  }
  events_until_next = 8 + stack.depth() / 4;
  const checks::Quiet quiet;
  if (uncached == nullptr) {
    uncached = static_cast<python::CallStack*>(system::reserve(sizeof(python::CallStack)));
  }
  if (uncached != nullptr) {
    uncached->forget();
    // As without the GIL, so that it leaves no canaries.
    const SiteId truth = uncached->site(guard, Gil::not_held, tree_, python_, thread.state, epoch_);
    invariant([&] { return truth == found; }, "a call stack found by the cache is the one that is there");
  }
}

/// All that was counted is accounted for. Reads all tables, so it is done seldom where sessions are many.
void Tracker::audit_session(const ExclusiveGuard& guard) const {
  checks::audit_totals(guard, view_);
  const auto lost = static_cast<std::uint32_t>(segment::Degradation::tracker_memory_exhausted);
  if ((sessions_ < 16 || sessions_ % 64 == 0) &&
      (view_.header().degradations.load(std::memory_order_relaxed) & lost) == 0) {
    checks::audit_holders(guard, view_, blocks_, mappings_);
  }
}

/// Before a block counts: a peak that it makes has what was touched until then.
void Tracker::measure_mappings_before(const ExclusiveGuard& guard, std::size_t bytes) {
  if (mappings_.wants_measuring() && (bytes >= worth_measuring_bytes || ++events_ % events_between_measuring == 0)) {
    mappings_.measure_now_and_then(guard, ledger_);
  }
}

void Tracker::put(const ExclusiveGuard& guard, const void* address, std::size_t bytes, SiteId site) {
  if (mappings_.wants_measuring()) [[unlikely]] {
    measure_mappings_before(guard, bytes);
  }
  const bool stored = blocks_.put(guard, address, bytes, site, [&](Block stale) {
    pass(Mark::stale_block_replaced);
    ledger_.release(guard, stale.site, stale.bytes);
  });
  if (stored) [[likely]] {
    ledger_.allocate(guard, site, BlockTable::counted_bytes(bytes));
    if constexpr (is_checked_build) {
      checks::audit_totals_sometimes(guard, view_);
    }
  } else {
    tree_.degrade(segment::Degradation::tracker_memory_exhausted);
  }
}

void Tracker::allocated(const Nesting&, Caller caller, std::uint32_t session, const void* block, std::size_t bytes) {
  const checks::ErrnoWatch errno_watch;
  const Thread thread = calling_thread(caller);
  bool has_news = false;
  {
    const ExclusiveGuard guard(exclusive_, thread.gil);
    if (session == session_now()) [[likely]] {
      put(guard, block, bytes, site_of(guard, thread));
      has_news = tree_.take_news(guard);
    } else {
      pass(Mark::event_of_other_session);
    }
  }
  // Without the lock, as libraries allocate in other threads. New lines of the program run: libraries may have come.
  if (has_news && limits_thread_pools_ && caller == Caller::python_allocator && thread.gil == Gil::held) [[unlikely]] {
    limit_new_thread_pools();
  }
}

Block Tracker::released(const Nesting&, Caller caller, std::uint32_t session, const void* address) {
  const checks::ErrnoWatch errno_watch;
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

template <class Action>
void Tracker::in_session(std::uint32_t session, Action action) {
  const Thread thread = calling_thread(Caller::anyone);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session == session_now()) [[likely]] {
    action(guard, thread);
  } else {
    pass(Mark::event_of_other_session);
  }
}

void Tracker::enter_mapping(const ExclusiveGuard& guard, const Range& range) {
  if (!mappings_.map(guard, ledger_, range)) {
    tree_.degrade(segment::Degradation::tracker_memory_exhausted);
  }
  if (range.counting == Counting::whole) {
    return;
  }
  // Told at once, as the process can die: what is measured later can only be less.
  const std::int64_t untouched = mappings_.untouched_bytes(guard);
  segment::Header& header = view_.header();
  if (untouched > header.most_untouched_bytes.load(std::memory_order_relaxed)) {
    header.most_untouched_bytes.store(untouched, std::memory_order_relaxed);
  }
}

void Tracker::mapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes,
                     const Mapping& mapping) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread& thread) {
    SiteId site = site_of(guard, thread);
    if (mapping.kind != segment::CodeKind::python) {
      site = tree_.mapping_site(guard, site, mapping.kind, mapping.name);
    }
    const auto start = reinterpret_cast<std::uintptr_t>(address);
    enter_mapping(guard, Range{start, start + bytes, 0, site, mapping.counting,
                               mapping.kind == segment::CodeKind::mapped_file, mapping.object, mapping.offset});
  });
}

Mappings::Before Tracker::unmapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  Mappings::Before before;
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    before = mappings_.unmap(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
  return before;
}

Mappings::Before Tracker::mapping_at(const Nesting&, std::uint32_t session, const void* address) {
  Mappings::Before before;
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    before = mappings_.at(guard, reinterpret_cast<std::uintptr_t>(address));
  });
  return before;
}

void Tracker::remapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes,
                       Mappings::Before before) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread& thread) {
    const SiteId site = tree_.moved_mapping_site(guard, site_of(guard, thread), before.site);
    enter_mapping(guard, range_of(address, bytes, site, before));
  });
}

void Tracker::not_unmapped(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes,
                           Mappings::Before before) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    enter_mapping(guard, range_of(address, bytes, before.site, before));
  });
}

void Tracker::protected_anew(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes,
                             bool is_accessible) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    const auto start = reinterpret_cast<std::uintptr_t>(address);
    if (is_accessible) {
      mappings_.made_accessible(guard, ledger_, start, bytes);
    } else {
      mappings_.pages_given_back(guard, ledger_, start, bytes);
    }
  });
}

void Tracker::measure(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    mappings_.measure_part(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
}

void Tracker::pages_given_back(const Nesting&, std::uint32_t session, const void* address, std::size_t bytes) {
  in_session(session, [&](const ExclusiveGuard& guard, const Thread&) {
    mappings_.pages_given_back(guard, ledger_, reinterpret_cast<std::uintptr_t>(address), bytes);
  });
}

void Tracker::code_died(const void* code) {
  if (session_now() == 0) {
    return;
  }
  const Thread thread = calling_thread(Caller::python_allocator);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (tree_.forget_code(guard, code)) {
    pass(Mark::code_forgotten);
    ++epoch_;
  }
}

void Tracker::failed(const Nesting&, Caller caller, std::uint32_t session, std::size_t bytes, bool refused) {
  if (session == 0) {
    return;
  }
  const Thread thread = calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session != session_now()) {
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
  if (!guard_.refuses(more, view_.header().current_bytes.load(std::memory_order_relaxed), backed)) {
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
  if (!guard_.is_main_thread()) {
    return false;
  }
  {
    // Only where code of the cell is on the stack: not while IPython draws a traceback or displays a result.
    const Thread thread = calling_thread(Caller::python_allocator);
    const ExclusiveGuard guard(exclusive_, thread.gil);
    if (session != session_now() || site_of(guard, thread) == SiteId::no_python_stack) {
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
    pass(Mark::detached_in_child);
    guard_.detach();
  }
}

}  // namespace fil
