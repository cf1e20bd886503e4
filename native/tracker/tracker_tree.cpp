// The tracker as a member of a process tree: how a process that was forked from a tracked one, or executed by it, goes
// on in a segment of its own.
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "../shared/environment.hpp"
#include "block_events.hpp"
#include "nesting.hpp"
#include "python/allocator_hooks.hpp"
#include "python/code_watch.hpp"
#include "python/self_test.hpp"
#include "real_functions.hpp"
#include "residency.hpp"
#include "system.hpp"
#include "thread_stacks.hpp"
#include "tracker.hpp"

namespace fil {
namespace {

/// What a program other than Python holds below this is nobody's concern, and costs no segment.
constexpr std::int64_t least_program_bytes = std::int64_t{1} << 20;
/// What it has in memory is read so often at least; 2 µs.
constexpr std::uint32_t events_between_measuring = 512;

/// Stands for the place of a young process that has left its own.
constinit tree::Young no_place{};

}  // namespace

void Tracker::attach_tree(const char* directory) {
  if (strcmp(directory, environment::standing_by) == 0) {
    link_.stand_by();
  } else if (!link_.attach(directory)) {
    return;
  }
  if (attached()) {
    introduce(tree::member_of(view_), tree::Origin::top, true);
    return;
  }
  role_ = Role::executed;
  // A Python that can't be followed is a program like any other.
  is_program_ = python_.find() != nullptr;
}

const char* Tracker::move_to_tree(const char* directory) {
  if (role_ == Role::top && attached()) {
    return "This process is profiled by itself already. Start it without fil-profile, but with the preload variables.";
  }
  if (!python_.found()) {
    if (const char* problem = python_.find()) {
      return problem;
    }
  }
  if (is_program_) {
    return "Fil can't follow the call stacks of this Python: it differs from the releases on python.org.";
  }
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  leave_tree_for_good();
  role_ = role_ == Role::top ? Role::executed : role_;
  joined_.store(0, std::memory_order_relaxed);
  refused_session_ = 0;
  if (view_.base != nullptr) {
    const segment::View before = view_;
    // As in a forked child: whoever joins next makes another.
    view_ = segment::View{nullptr};
    ledger_ = Ledger();
    if (young_ != nullptr) {
      stop_being_young(guard);
    } else {
      system::unreserve(before.base, segment::bytes_at_scale(before.scale));
    }
  }
  link_.stand_by();
  if (strcmp(directory, environment::standing_by) == 0 || link_.attach(directory)) {
    return nullptr;
  }
  return "The directory of the profile is not there, not this user's, or of another version of Fil.";
}

bool Tracker::joins_with(const Nesting& nesting, Caller caller, std::uint32_t session, const void* block) {
  if (is_program_) {
    count_in_program(nesting, session, block, 1);
    return false;
  }
  return join(nesting, session, caller);
}

void Tracker::released_by_outsider(const Nesting& nesting, std::uint32_t session, const void* block) {
  if (is_program_) {
    count_in_program(nesting, session, block, -1);
  }
}

/// As long as a session is on that this process is not part of, every event comes by here.
bool Tracker::join(const Nesting&, std::uint32_t session, Caller caller) {
  if (role_ == Role::top || session == 0 || samples(session) || session == refused_session_) {
    return false;
  }
  if (is_program_) {
    return session == program_session_;
  }
  {
    const Thread thread = python_.is_initialized() ? calling_thread(caller) : Thread{Gil::not_held, nullptr};
    if (thread.gil != Gil::held) {
      return false;
    }
    // One at a time: the GIL is held, and looking at Python allocates nothing here.
    if (joining_) {
      return false;
    }
    joining_ = true;
    const bool joined = join_with_stacks(session, thread);
    joining_ = false;
    return joined;
  }
}

bool Tracker::join_with_stacks(std::uint32_t session, const Thread& thread) {
  if (!prepared_) {
    const python::Look look = python::look_at_frames(python_, thread.state);
    if (look == python::Look::nothing_to_see) {
      return false;
    }
    if (look == python::Look::wrong || !prepare_tables() || !watches_code_) {
      // A Python that can't be followed is a program like any other.
      is_program_ = true;
      return false;
    }
  }
  {
    const ExclusiveGuard guard(exclusive_, Gil::not_held);
    // Of the session before, which has ended without a word to us. Not after a fork, which has emptied the leaves: to
    // give each of them back took longer than the fork.
    blocks_.clear(guard);
    if (!start_in_tree(guard, session)) {
      return false;
    }
  }
  python::install_allocator_hooks(python_);
  return true;
}

/// Alone, with tables that are prepared.
bool Tracker::start_in_tree(const ExclusiveGuard& guard, std::uint32_t session, const tree::Member* parent) {
  if (young_ != nullptr) {
    // Since a session before.
    TreeLink::leave_young(*young_, view_.header().peak_bytes.load(std::memory_order_relaxed));
    stop_being_young(guard);
    view_ = segment::View{nullptr};
  }
  if (view_.base == nullptr) {
    const tree::Origin origin = role_ == Role::forked ? tree::Origin::forked : tree::Origin::executed;
    view_ = link_.open_segment(origin, !is_program_, parent);
    if (view_.base == nullptr) {
      refused_session_ = session;
      return false;
    }
    ledger_ = Ledger(view_);
    tree_.move_to(view_, true);
  }
  if (!tree_.prepare_built_in_sites()) {
    tree::refuse(control_page.control, getpid());
    refused_session_ = session;
    return false;
  }
  start_session(guard, session);
  return true;
}

bool Tracker::start_young(const ExclusiveGuard& guard, std::uint32_t session, const tree::Member* parent) {
  if (!prepared_ || nursery_ == nullptr || !system::children_have_nothing()) {
    return false;
  }
  young_ = TreeLink::enroll_young(session);
  if (young_ == nullptr) {
    return false;
  }
  young_events_ = 0;
  system::populate(nursery_, Nursery::bytes_at_first());
  view_ = segment::View{nursery_->segment, Nursery::segment_scale};
  initialize_member(view_);
  introduce(tree::member_of(view_), tree::Origin::forked, true, parent);
  ledger_ = Ledger(view_);
  tree_.move_to(view_, false);
  tree_.be_young(outgrown);
  start_session(guard, session);
  ledger_.be_young(guard, outgrown);
  mappings_.let_others_be_called(true);
  return true;
}

void Tracker::outgrown(const ExclusiveGuard& guard) {
  tracker.grow_up(guard);
}

/// As a member with a segment. Sites keep their numbers.
void Tracker::grow_up(const ExclusiveGuard& guard) {
  if (ledger_.has_left()) {
    // It is about to end.
    return;
  }
  pass(Mark::young_grown_up);
  tree::Young& place = *young_;
  const segment::View young = view_;
  stop_being_young(guard);
  const segment::View grown = link_.make_segment();
  if (grown.base == nullptr || !tree_.grow_up(grown)) {
    if (grown.base != nullptr) {
      system::unreserve(grown.base, segment::bytes_at_scale(grown.scale));
      tree::refuse(control_page.control, getpid());
    }
    refused_session_ = session_now();
    joined_.store(0, std::memory_order_relaxed);
    ledger_.give_up(guard);
  } else {
    memcpy(static_cast<void*>(grown.base), young.base, segment::counts_offset);
    grown.header().scale = grown.scale;
    tree::member_of(grown).claimed.store(0, std::memory_order_relaxed);
    tree::member_of(grown).next_claim.store(0, std::memory_order_relaxed);
    view_ = grown;
    ledger_.grow_up(guard, grown);
    TreeLink::publish(grown);
  }
  // Once it counts as a member, so that it is never missed.
  place.pid.store(0, std::memory_order_release);
}

void Tracker::grow_up_when_old(const ExclusiveGuard& guard) {
  constexpr std::uint32_t events_between_looks = 16;
  if (++young_events_ % events_between_looks == 0 &&
      system::now_nanoseconds() - young_->joined_nanoseconds.load(std::memory_order_relaxed) >
          tree::young_nanoseconds) {
    grow_up(guard);
  }
}

void Tracker::stop_being_young(const ExclusiveGuard&) {
  young_ = nullptr;
  tree_.be_young(nullptr);
  mappings_.let_others_be_called(false);
}

bool Tracker::join_as_program(const ExclusiveGuard& guard, std::uint32_t session) {
  if (!prepared_) {
    tree_ = CallTree(view_, python_);
    prepared_ = tree_.prepare();
  }
  if (!prepared_ || !start_in_tree(guard, session)) {
    refused_session_ = session;
    return false;
  }
  // Not of joined_: its blocks have no call sites.
  joined_.store(0, std::memory_order_relaxed);
  program_session_ = session;
  program_told_.store(0, std::memory_order_relaxed);
  program_counted_ = 0;
  return true;
}

bool Tracker::join_for_mapping(const Nesting& nesting, std::uint32_t session, std::size_t bytes) {
  if (!is_program_) {
    return join(nesting, session, Caller::anyone);
  }
  if (bytes < static_cast<std::size_t>(least_program_bytes) || session == refused_session_) {
    return false;
  }
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  return session == session_now() && join_as_program(guard, session);
}

void Tracker::count_in_program(const Nesting&, std::uint32_t session, const void* block, int sign) {
  if (block == nullptr || is_early_block(block)) {
    return;
  }
  const auto bytes = sign * static_cast<std::int64_t>(malloc_usable_size(const_cast<void*>(block)));
  if (-bytes >= least_program_bytes && session == program_session_) {
    // While it still has what it touched of it.
    const ExclusiveGuard guard(exclusive_, Gil::not_held);
    if (session == session_now()) {
      tell_program_bytes(guard);
    }
  }
  const std::int64_t held = program_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  const std::int64_t told = program_told_.load(std::memory_order_relaxed);
  const bool is_news = held >= told + least_program_bytes || (held <= told - least_program_bytes && told != 0);
  // It may have touched by now what it took before.
  const bool is_due = held >= least_program_bytes &&
                      program_events_.fetch_add(1, std::memory_order_relaxed) % events_between_measuring == 0;
  if (!is_news && !is_due) {
    return;
  }
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  if (session != session_now() || session == refused_session_) {
    return;
  }
  if (session != program_session_ && !join_as_program(guard, session)) {
    return;
  }
  tell_program_bytes(guard);
}

/// A program asks for more than it uses, as sort(1) does: what counts is what it has in memory, at most.
void Tracker::tell_program_bytes(const ExclusiveGuard& guard) {
  const std::int64_t held = program_bytes_.load(std::memory_order_relaxed);
  program_told_.store(held, std::memory_order_relaxed);
  const std::int64_t private_bytes = system::private_resident_bytes();
  const std::int64_t asked = held > 0 ? held : 0;
  const std::int64_t now = private_bytes >= 0 && private_bytes < asked ? private_bytes : asked;
  const std::int64_t more = now - program_counted_;
  program_counted_ = now;
  if (more > 0) {
    ledger_.allocate(guard, SiteId::no_python_stack, more);
  } else if (more < 0) {
    ledger_.release(guard, SiteId::no_python_stack, -more);
  }
}

void Tracker::go_on_in_child() {
  exclusive_.reset();
  guard_.detach();
  forget_other_threads_stacks();
  joining_ = false;
  program_session_ = 0;
  program_bytes_.store(0, std::memory_order_relaxed);
  program_told_.store(0, std::memory_order_relaxed);
  const std::uint32_t session = session_now();
  const bool was_tracking = session != 0 && takes_part(session);
  role_ = Role::forked;
  forked_ = true;
  joined_.store(0, std::memory_order_relaxed);
  // The parent's segment, which is mapped here too, is the parent's. A young one had its own in memory that is wiped
  // now.
  const tree::Member* parent = view_.base == nullptr || young_ != nullptr ? nullptr : &tree::member_of(view_);
  young_ = nullptr;
  view_ = segment::View{nullptr};
  ledger_ = Ledger();
  if (prepared_) {
    system::register_barrier();
  }
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  Nursery* nursery = system::children_have_nothing() ? nursery_ : nullptr;
  if (prepared_ && nursery != nullptr) {
    tree_.start_over(nursery->tree);
  }
  blocks_.start_over(guard, nursery == nullptr ? nullptr : &nursery->blocks);
  mappings_.clear(guard);
  mappings_.let_others_be_called(false);
  if (was_tracking && !is_program_) {
    pass(Mark::joined_in_child);
    if (!start_young(guard, session, parent)) {
      start_in_tree(guard, session, parent);
    }
  }
}

void Tracker::leave_tree_for_good() {
  if (is_program_ && program_session_ != 0 && program_session_ == session_now() && view_.header().pid == getpid()) {
    // What it had in memory at its end, if it has said nothing since it was touched.
    const ExclusiveGuard guard(exclusive_, Gil::not_held);
    tell_program_bytes(guard);
  }
  if (view_.base != nullptr && link_.attached() && view_.header().pid == getpid()) {
    ledger_.leave();
    if (tree::Young* young = young_; young != nullptr) {
      young_ = &no_place;
      TreeLink::leave_young(*young, view_.header().peak_bytes.load(std::memory_order_relaxed));
    } else {
      leave_tree(tree::member_of(view_));
    }
  }
}

void Tracker::before_exec() {
  leave_tree_for_good();
}

void Tracker::after_failed_exec() {
  if (view_.base != nullptr && link_.attached() && view_.header().pid == getpid()) {
    if (young_ != nullptr) {
      // The place that it has left may be another's by now.
      tree::Young* place = TreeLink::enroll_young(session_now());
      young_ = place == nullptr ? &no_place : place;
    }
    tree::member_of(view_).left_nanoseconds.store(0, std::memory_order_relaxed);
    tree::member_of(view_).left_at_peak.store(-1, std::memory_order_relaxed);
    ledger_.come_back(control_page.control);
  }
}

}  // namespace fil
