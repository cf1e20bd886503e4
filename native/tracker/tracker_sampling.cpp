// The tracker's sampled sessions: the same tree, lock and ledger, fed by the blocks that were chosen.
#include <string.h>

#include "block_events.hpp"
#include "checks/audit.hpp"
#include "sampling/rate.hpp"
#include "system.hpp"
#include "thread_stacks.hpp"
#include "tracker.hpp"

namespace fil {
namespace {

using sampling::Choice;
using sampling::Half;
using sampling::Sample;

}  // namespace

void Tracker::map_sampled(int descriptor) {
  if (!fails(Failpoint::map_sampled)) {
    sampled_view_.base = static_cast<std::byte*>(
        system::map_shared(descriptor, segment::sampled_bytes_at_scale(sampled_view_.scale), segment::sampled_offset));
  }
}

/// Before the call tree forgets how many sites there were.
void Tracker::begin_sampling(const ExclusiveGuard& guard, std::uint64_t mean_bytes) {
  segment::Sampling& described = view_.sampling();
  described.mean_bytes.store(mean_bytes, std::memory_order_relaxed);
  described.exact_from_bytes.store(mean_bytes == 0 ? 0 : sampling::exact_from_bytes, std::memory_order_relaxed);
  if (mean_bytes == 0) {
    ledger_.also_into(nullptr);
    return;
  }
  for (std::size_t finder = 0; finder < segment::sampled_halves; ++finder) {
    memset(static_cast<void*>(sampled_view_.counts(finder)), 0, sampled_rows_ * sizeof(segment::SampledCounts));
  }
  sampled_ledger_ = sampling::SampledLedger(view_, sampled_view_);
  sampled_ledger_.reset(guard);
  ledger_.also_into(&sampled_ledger_);
  sampling::mean_bytes.store(mean_bytes, std::memory_order_relaxed);
}

void Tracker::enter_sample(const ExclusiveGuard& guard, const Sample& sample) {
  if (const Sample stale = samples_.take(guard, reinterpret_cast<const void*>(sample.address)); stale.address != 0) {
    pass(Mark::stale_sample_replaced);
    leave_sample(guard, stale);
  }
  if (!samples_.put(guard, sample)) {
    tree_.degrade(segment::Degradation::tracker_memory_exhausted);
    return;
  }
  if (sample.is_exact) {
    ledger_.change_exact(guard, sample.site, sample.bytes);
  } else {
    ledger_.allocate(guard, sample.site, sample.bytes);
    sampled_ledger_.change_sampled(guard, sample.site, sample.half, sample.bytes);
  }
}

void Tracker::leave_sample(const ExclusiveGuard& guard, const Sample& sample) {
  if (sample.is_exact) {
    ledger_.change_exact(guard, sample.site, -sample.bytes);
  } else {
    ledger_.release(guard, sample.site, sample.bytes);
    sampled_ledger_.change_sampled(guard, sample.site, sample.half, -sample.bytes);
  }
}

void Tracker::sampled(const Nesting&, Caller caller, std::uint32_t session, const void* block, std::size_t bytes,
                      Choice choice) {
  const checks::ErrnoWatch errno_watch;
  const Thread thread = calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session != session_now()) {
    pass(Mark::event_of_other_session);
    return;
  }
  if (mappings_.wants_measuring()) {
    measure_mappings(guard, bytes);
  }
  // As without the GIL, so that it leaves no canaries in Python's frames: walks are rare, and jobs are not to be
  // touched.
  const SiteId site = site_of(guard, Thread{Gil::not_held, thread.state});
  const std::int64_t held = BlockTable::counted_bytes(bytes);
  const bool is_exact = choice == Choice::exact;
  enter_sample(guard, Sample{reinterpret_cast<std::uintptr_t>(block),
                             is_exact ? held : sampling::weight_of(bytes, held, sampling::mean_now()), site, is_exact,
                             sampling::random_half()});
}

Sample Tracker::sample_released(const Nesting&, Caller caller, std::uint32_t session, const void* block) {
  const checks::ErrnoWatch errno_watch;
  const Thread thread = calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session != session_now()) {
    return Sample{};
  }
  const Sample sample = samples_.take(guard, block);
  if (sample.address != 0) {
    leave_sample(guard, sample);
  }
  return sample;
}

void Tracker::sample_not_released(const Nesting&, Caller caller, std::uint32_t session, const Sample& sample) {
  const Thread thread = calling_thread(caller);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  if (session == session_now() && sample.address != 0) {
    enter_sample(guard, sample);
  }
}

}  // namespace fil
