// The ledger: who holds how many bytes, and who did at the peak, at a constant cost per event.
//
// Copying every site at each new peak would cost as much as there are sites. Instead a peak only raises a generation,
// which makes every saved value stale at once; a site saves its bytes at its first change after a peak (copy on write).
// A site that has not changed since the peak still holds what it held then.
#pragma once

#include "../shared/segment.hpp"
#include "../shared/tree.hpp"
#include "checks/checks.hpp"
#include "exclusive.hpp"
#include "outgrown.hpp"
#include "sampling/sampled_ledger.hpp"
#include "shared_claims.hpp"

namespace fil {

class Ledger {
 public:
  Ledger() = default;
  explicit Ledger(segment::View view) : header_(&view.header()), counts_(view.counts()) {}

  [[gnu::always_inline]] void allocate(const ExclusiveGuard& guard, SiteId site, std::int64_t bytes) {
    const std::int64_t joint_peak = claim_change(guard, bytes);
    hold(guard, site, bytes);
    if (joint_peak != 0) [[unlikely]] {
      mark_joint_peak(joint_peak);
    }
  }
  [[gnu::always_inline]] void release(const ExclusiveGuard& guard, SiteId site, std::int64_t bytes) {
    claim_change(guard, -bytes);
    change(guard, site, -bytes);
  }

  /// A mapping of shared memory that has a name: the tree counts it once, however many processes map it.
  void change_shared(const ExclusiveGuard& guard, SiteId site, std::uint64_t object, std::int64_t delta) {
    if (outgrown_ != nullptr) {
      // Should it be killed, its segment has to tell what it shared.
      outgrown_(guard);
    }
    tree::Control* control = __atomic_load_n(&control_, __ATOMIC_RELAXED);
    std::int64_t joint_delta = 0;
    if (control == nullptr || !shared_.change(*control, *member_, object, delta, joint_delta)) {
      change_exact(guard, site, delta);
      return;
    }
    const tree::Met met = tree::change_joint(control->joint, joint_delta);
    if (met.peak != member_->seen_peak.load(std::memory_order_relaxed)) {
      mark_joint_peak(met.peak);
    }
    hold(guard, site, delta);
    if (met.current > met.peak) {
      mark_joint_peak(met.current);
    }
    if (sampled_ != nullptr) {
      sampled_->change_exact(guard, site, delta);
    }
  }

  /// From now on what is counted for certain goes there too; null for none.
  void also_into(sampling::SampledLedger* sampled) { sampled_ = sampled; }
  /// A mapping, or in a sampled session a large block: a sampled session counts every byte of these as well. With a
  /// negative `delta` its end.
  void change_exact(const ExclusiveGuard& guard, SiteId site, std::int64_t delta) {
    if (delta > 0) {
      allocate(guard, site, delta);
    } else {
      release(guard, site, -delta);
    }
    if (sampled_ != nullptr) {
      sampled_->change_exact(guard, site, delta);
    }
  }

  /// From now on the process claims what it holds from its tree. `member` has claimed nothing of the session yet.
  void join(const ExclusiveGuard&, tree::Control& control, tree::Member& member, std::uint32_t session) {
    const std::int64_t peak = tree::joint_peak(control.joint);
    shared_.clear(member);
    member.claimed.store(0, std::memory_order_relaxed);
    member.next_claim.store(0, std::memory_order_relaxed);
    member.seen_peak.store(peak, std::memory_order_relaxed);
    // Last: what stood there was of another.
    member.session.store(session, std::memory_order_release);
    header_->joint_generation.store(header_->generation.load(std::memory_order_relaxed), std::memory_order_relaxed);
    credit_ = control.credit_bytes.load(std::memory_order_relaxed);
    member_ = &member;
    control_ = &control;
  }

  /// From now on it claims nothing, and calls `outgrown` when it holds more than it may without. After join().
  void be_young(const ExclusiveGuard&, Outgrown outgrown) {
    const std::int64_t most = tree::young_credits * credit_;
    member_->claimed.store(most, std::memory_order_relaxed);
    member_->next_claim.store(most, std::memory_order_relaxed);
    outgrown_ = outgrown;
  }
  /// Goes on in a copy of its segment, of which nothing is claimed yet, and claims what it holds.
  void grow_up(const ExclusiveGuard& guard, segment::View view) {
    outgrown_ = nullptr;
    header_ = &view.header();
    counts_ = view.counts();
    member_ = &tree::member_of(view);
    if (const std::int64_t joint_peak = claim_change(guard, 0); joint_peak != 0) {
      mark_joint_peak(joint_peak);
    }
  }
  /// There is no segment to be had: nothing counts any more.
  void give_up(const ExclusiveGuard&) {
    outgrown_ = nullptr;
    leave();
  }

  /// The process is about to end, or to become another program: no claims any more. Without a lock, so an event under
  /// way may still claim.
  void leave() { __atomic_store_n(&control_, nullptr, __ATOMIC_RELAXED); }
  /// It has left in vain. What it has mapped is shared no more: it claims that itself now.
  void come_back(tree::Control& control) {
    shared_.clear(*member_);
    __atomic_store_n(&control_, &control, __ATOMIC_RELAXED);
  }

  bool has_left() const { return __atomic_load_n(&control_, __ATOMIC_RELAXED) == nullptr; }

  /// An allocation failed: what every site holds now is kept until the next failure.
  void mark_failure(const ExclusiveGuard&) {
    const std::uint64_t generation = header_->generation.load(std::memory_order_relaxed) + 1;
    header_->failure_generation.store(generation, std::memory_order_release);
    header_->generation.store(generation, std::memory_order_release);  // pairs with Segment::Snapshot in the addon
  }

 private:
  /// Before the process holds `delta` more. Returns the joint peak that this makes, or 0; only an allocation makes one.
  [[gnu::always_inline]] std::int64_t claim_change(const ExclusiveGuard& guard, std::int64_t delta) {
    const tree::Control* control = __atomic_load_n(&control_, __ATOMIC_RELAXED);
    if (control == nullptr) {
      return 0;
    }
    const std::int64_t total = header_->current_bytes.load(std::memory_order_relaxed) - shared_.bytes() + delta;
    const std::int64_t claimed = member_->claimed.load(std::memory_order_relaxed);
    const bool is_claimed = total <= claimed && total >= claimed - 2 * credit_;
    if (is_claimed && tree::joint_peak(control->joint) == member_->seen_peak.load(std::memory_order_relaxed))
        [[likely]] {
      return 0;
    }
    return claim(guard, total);
  }

  /// What the process claims is ahead of what it holds by at most twice `credit_`.
  [[gnu::noinline]] std::int64_t claim(const ExclusiveGuard& guard, std::int64_t total) {
    if (outgrown_ != nullptr && total > member_->claimed.load(std::memory_order_relaxed)) {
      outgrown_(guard);
    }
    tree::Control* control = __atomic_load_n(&control_, __ATOMIC_RELAXED);
    if (control == nullptr) {
      return 0;  // it is leaving
    }
    const std::int64_t claimed = member_->claimed.load(std::memory_order_relaxed);
    std::int64_t peak = 0;
    std::int64_t made = 0;
    if (outgrown_ == nullptr && (total > claimed || total < claimed - 2 * credit_)) {
      const std::int64_t next = total + credit_;
      member_->next_claim.store(next, std::memory_order_release);  // before: the reaper looks for a change under way
      const tree::Met met = tree::change_joint(control->joint, next - claimed);
      member_->claimed.store(next, std::memory_order_release);
      peak = met.peak;
      made = met.current > met.peak ? met.current : 0;
    } else {
      peak = tree::joint_peak(control->joint);
    }
    if (peak != member_->seen_peak.load(std::memory_order_relaxed)) {
      mark_joint_peak(peak);
    }
    return made;
  }

  /// What every site holds now is kept, as a joint peak stands.
  void mark_joint_peak(std::int64_t peak) {
    const std::uint64_t generation = header_->generation.load(std::memory_order_relaxed) + 1;
    header_->joint_generation.store(generation, std::memory_order_release);
    member_->seen_peak.store(peak, std::memory_order_release);
    header_->generation.store(generation, std::memory_order_release);  // pairs with Segment::Snapshot in the addon
  }

  /// Enters a change, and the process's own peak if that makes one.
  [[gnu::always_inline]] void hold(const ExclusiveGuard& guard, SiteId site, std::int64_t delta) {
    const std::int64_t total = change(guard, site, delta);
    segment::Header& header = *header_;
    if (total > header.peak_bytes.load(std::memory_order_relaxed)) {
      const std::uint64_t generation = header.generation.load(std::memory_order_relaxed) + 1;
      header.peak_bytes.store(total, std::memory_order_relaxed);
      header.peak_generation.store(generation, std::memory_order_release);
      header.generation.store(generation, std::memory_order_release);  // pairs with Segment::Snapshot in the addon
    }
  }

  // The order of the stores is the promise of segment.hpp: saved, generation, current; the new peak's generation last.
  // A writer killed in between leaves the old peak complete (the site's saved value) or the new one. Plain moves on
  // x86. Two marks share one generation, so that failures cost nothing until there is one.
  /// Returns what the program holds then. Only what is allocated can make a peak of it.
  [[gnu::always_inline]] std::int64_t change(const ExclusiveGuard&, SiteId id, std::int64_t delta) {
    segment::Header& header = *header_;
    segment::SiteCounts& site = counts_[index_of(id)];
    const std::uint64_t generation = header.generation.load(std::memory_order_relaxed);
    const std::int64_t held = site.current_bytes.load(std::memory_order_relaxed);
    const std::int64_t total = header.current_bytes.load(std::memory_order_relaxed) + delta;
    const std::uint64_t before = site.generation.load(std::memory_order_relaxed);
    if (before != generation) {
      if (before < header.peak_generation.load(std::memory_order_relaxed)) {
        site.saved_bytes.store(held, std::memory_order_release);
      }
      if (before < header.failure_generation.load(std::memory_order_relaxed)) [[unlikely]] {
        site.failure_bytes.store(held, std::memory_order_release);
      }
      if (before < header.joint_generation.load(std::memory_order_relaxed)) {
        site.joint_bytes.store(held, std::memory_order_release);
      }
      site.generation.store(generation, std::memory_order_release);  // pairs with bytes_at_peak
    }
    invariant(
        [&] {
          return site.generation.load(std::memory_order_relaxed) <= header.generation.load(std::memory_order_relaxed);
        },
        "a site's generation is at most the header's");
    invariant([&] { return held + delta >= 0; }, "a site holds no less than nothing");
    invariant([&] { return total >= 0; }, "the program holds no less than nothing");
    site.current_bytes.store(held + delta, std::memory_order_release);
    header.current_bytes.store(total, std::memory_order_relaxed);
    return total;
  }

  segment::Header* header_ = nullptr;
  segment::SiteCounts* counts_ = nullptr;
  sampling::SampledLedger* sampled_ = nullptr;
  /// Of the process tree; null without one.
  tree::Control* control_ = nullptr;
  tree::Member* member_ = nullptr;
  std::int64_t credit_ = 0;
  SharedClaims shared_;
  /// Null unless the process is young.
  Outgrown outgrown_ = nullptr;
};

}  // namespace fil
