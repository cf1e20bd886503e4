// Sessions: beginning, ending, and what is measured at the end.
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
  if (session_now() == 0) {
    return;
  }
  const ExclusiveGuard guard(exclusive_, gil_of_calling_thread(Caller::python_allocator));
  if (tree_.forget_code(guard, code)) {
    pass(Mark::code_forgotten);
    ++epoch_;
  }
}

}  // namespace fil
