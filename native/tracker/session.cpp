// Sessions: beginning, ending, and what is measured at the end.
#include "../shared/tree_shared.hpp"
#include "block_events.hpp"
#include "checks/audit.hpp"
#include "python/allocator_hooks.hpp"
#include "python/code_watch.hpp"
#include "python/sampling_hooks.hpp"
#include "residency.hpp"
#include "system.hpp"
#include "thread_stacks.hpp"

namespace fil {
namespace {

/// Sessions that held less are over too soon to measure our own tables.
constexpr std::int64_t worth_measuring_ourselves = 1 << 20;

}  // namespace

constinit Tracker tracker;

const char* Tracker::begin(const void* const* boundaries, std::size_t count, std::uint64_t sampling_mean_bytes) {
  if (const char* problem = why_unfit()) {
    return problem;
  }
  if (session_now() != 0) {
    return "Tracking is on already.";
  }
  if (!prepared_) {
    if (!prepare_tables()) {
      return "There is not enough address space for the profiler's tables (is it limited by ulimit -v?).";
    }
    if (!watches_code_) {
      return "All of Python's code watchers are taken by other tools, so Fil could not notice when code objects are "
             "freed.";
    }
  }
  const bool sampled = sampling_mean_bytes != 0;
  if (sampled && (sampled_view_.base == nullptr || !samples_.prepare())) {
    return "There is not enough memory or address space for the sampler's tables (is it limited by ulimit -v?).";
  }
  if (sampled) {
    // Estimates of several processes have no joint peak: the others see no session.
    link_.suspend();
  } else {
    link_.resume();
  }
  const std::uint32_t session = ++sessions_ | (sampled ? tree::sampled_session : 0);
  {
    const ExclusiveGuard guard(exclusive_, Gil::not_held);
    begin_sampling(guard, sampling_mean_bytes);
    tree_.forget_boundaries(guard);
    for (std::size_t i = 0; i < count; ++i) {
      tree_.add_boundary(guard, boundaries[i]);
    }
    if (link_.attached()) {
      tree::forget_all(control_page.control);
    }
    start_session(guard, session);
  }
  if (sampled) {
    // Before the hooks, which try how Python's allocator behaves; nothing is entered until a block is chosen.
    control_page.control.session.store(session, std::memory_order_release);
    if (!python::install_sampling_hooks(python_)) {
      tree_.degrade(segment::Degradation::small_objects_missing);
    }
    return nullptr;
  }
  python::install_allocator_hooks(python_);
  control_page.control.session.store(session, std::memory_order_release);
  return nullptr;
}

/// Reserves the tables, and has word of dying code. False if the first can't be had.
bool Tracker::prepare_tables() {
  tree_ = CallTree(view_, python_);
  if (!tree_.prepare() || !blocks_.prepare()) {
    return false;
  }
  watches_code_ =
      !fails(Failpoint::watch_code) && python::watch_code(python_, [](const void* code) { tracker.code_died(code); });
  if (!watches_code_) {
    return true;
  }
  if (system::register_barrier()) {
    exclusive_.allow_bias();
  }
  nursery_ = static_cast<Nursery*>(system::reserve_for_this_process(sizeof(Nursery)));
  prepared_ = true;
  return true;
}

/// With tables that are prepared, a table of blocks that is empty, and no session under way.
void Tracker::start_session(const ExclusiveGuard& guard, std::uint32_t session) {
  segment::Header& header = view_.header();
  tree_.reset(guard);
  mappings_.clear(guard);
  view_.failure().count.store(0, std::memory_order_relaxed);
  ++epoch_;
  header.python_version_hex = python_.found() ? static_cast<std::uint32_t>(*python_.api().version) : 0;
  header.ended_nanoseconds.store(0, std::memory_order_relaxed);
  header.began_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
  header.own_bytes.store(0, std::memory_order_relaxed);
  header.session.store(session & ~tree::sampled_session, std::memory_order_relaxed);
  if (link_.attached()) {
    ledger_.join(guard, control_page.control, tree::member_of(view_), session);
  } else {
    ledger_.leave();
  }
  // Pairs with takes_part(): whoever takes part finds the tables.
  joined_.store(session, std::memory_order_release);
  header.state.store(segment::State::tracking, std::memory_order_release);
}

void Tracker::end() {
  const std::uint32_t session = session_now();
  if (session == 0 || role_ != Role::top) {
    return;
  }
  const bool sampled = samples(session);
  if (!(sampled ? python::remove_sampling_hooks(python_) : python::remove_allocator_hooks(python_))) {
    tree_.degrade(segment::Degradation::allocator_replaced);
  }
  // Without the bias, so that threads with and without the GIL are both kept out: an event in another thread is either
  // over now or finds the session gone.
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  control_page.control.session.store(0, std::memory_order_relaxed);
  joined_.store(0, std::memory_order_relaxed);
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
  if (sampled) {
    samples_.clear(guard);
  } else {
    blocks_.clear(guard);
  }
  mappings_.clear(guard);
}

std::uint32_t Tracker::last_session(std::int64_t& peak_bytes) const {
  peak_bytes = sessions_ == 0 ? 0 : view_.header().peak_bytes.load(std::memory_order_relaxed);
  return sessions_;
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

/// All that was counted is accounted for. Reads all tables, so it is done seldom where sessions are many.
void Tracker::audit_session(const ExclusiveGuard& guard) const {
  checks::audit_totals(guard, view_);
  const auto lost = static_cast<std::uint32_t>(segment::Degradation::tracker_memory_exhausted);
  if ((sessions_ < 16 || sessions_ % 64 == 0) &&
      (view_.header().degradations.load(std::memory_order_relaxed) & lost) == 0) {
    checks::audit_holders(guard, view_, blocks_, mappings_);
  }
}

void Tracker::code_died(const void* code) {
  const std::uint32_t session = session_now();
  if (session == 0 || !takes_part(session)) {
    return;
  }
  const ExclusiveGuard guard(exclusive_, gil_of_calling_thread(Caller::python_allocator));
  if (tree_.forget_code(guard, code)) {
    pass(Mark::code_forgotten);
    ++epoch_;
  }
}

}  // namespace fil
