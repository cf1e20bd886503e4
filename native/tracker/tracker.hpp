// The tracker of this process: takes the hooks' events and keeps ledger, tables and call tree together. One per
// process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "../shared/segment.hpp"
#include "block_table.hpp"
#include "call_tree.hpp"
#include "checks/checks.hpp"
#include "exclusive.hpp"
#include "ledger.hpp"
#include "mapping.hpp"
#include "mappings.hpp"
#include "memory_guard.hpp"
#include "nesting.hpp"
#include "nursery.hpp"
#include "python/interpreter.hpp"
#include "sampling/poisson.hpp"
#include "sampling/sample_table.hpp"
#include "tree_link.hpp"

namespace fil {
namespace python {
class CallStack;
}

/// 0 while tracking is off, else the number of the session, which all processes of a tree have in common. Read by every
/// hook first.
inline std::uint32_t session_now() {
  // Pairs with the store in begin(): who sees a session sees the functions of Python that were found for it.
  return control_page.control.session.load(std::memory_order_acquire);
}

/// Whether a call has nothing to report. Each reads the session once, and passes on what it has read: it may end at any
/// moment.
inline bool is_off(std::uint32_t session) {
  return __builtin_expect(session == 0, 1);
}

/// Whether the session that was under way before the call that is reported still is. With the lock held.
inline bool is_under_way(std::uint32_t session) {
  invariant([&] { return session != 0; }, "only a call that saw a session is reported");
  return session == session_now();
}

/// Whether the session is sampled. Hooks that find tracking on ask next.
inline bool samples(std::uint32_t session) {
  return (session & tree::sampled_session) != 0;
}

/// Who vouches for the GIL: Python's own hooks run with it, the others have to ask.
enum class Caller { python_allocator, anyone };

/// What the kernel has done with what was to be unmapped: `only_of_pages` have gone, the range stays.
enum class Unmapping { done, refused, only_of_pages };

class Tracker {
 public:
  /// Takes over the segment that the parent process made, if there is one. Before main().
  /// @param least_scale the most that tables may take, as in segment.hpp.
  void attach(std::uint32_t least_scale = 0);
  /// Remembers, and says on stderr, why this process can't be profiled. It goes on without.
  void run_untracked(const char* sentence);
  bool attached() const { return view_.base != nullptr; }
  /// Whether this process was forked from an attached one.
  bool is_forked() const { return forked_; }

  /// Null if tracking can begin in this process, else a sentence that says why not.
  const char* why_unfit();

  /// Begins a session. With the GIL held, on a thread of the main interpreter. Null, or why it was refused.
  /// @param sampling_mean_bytes one allocated byte in so many is sampled; 0 to count every allocation.
  const char* begin(const void* const* boundaries, std::size_t count, std::uint64_t sampling_mean_bytes = 0);
  /// Number of the latest session, 0 if there was none, and the peak of what it counted or estimated.
  std::uint32_t last_session(std::int64_t& peak_bytes) const;
  /// From now on thread pools of numerical libraries have one thread, those to come too.
  void limit_thread_pools() { limits_thread_pools_ = true; }
  /// The reader learns that the program's own code runs now.
  void note_uncaught_memory_error() {
    if (attached() && !forked_) {
      view_.failure().uncaught_memory_error.store(1, std::memory_order_release);
    }
  }
  void note_program_began() { view_.header().program_began.store(1, std::memory_order_release); }
  /// Ends it. After the return no event of it is under way anywhere. With the GIL held.
  void end();

  /// Whether the program's own code runs, or has run, tracked.
  bool is_tracked_program() const {
    return attached() && view_.header().program_began.load(std::memory_order_relaxed) != 0;
  }
  /// Null unless sampled sessions are to be expected.
  segment::Recording* recording() const { return sampled_view_.base == nullptr ? nullptr : &sampled_view_.recording(); }

  const python::Interpreter& python() const { return python_; }

  // Events; blocks are in block_events.hpp, which their hooks include. `session` is session_now() from before the call
  // that is reported: one that came to pass across a begin or an end belongs to neither session.

  void allocated(const Nesting& nesting, Caller caller, std::uint32_t session, const void* block, std::size_t bytes);
  /// Before the block is given back, or another thread could be given its address first. Returns what it was.
  Block released(const Nesting& nesting, Caller caller, std::uint32_t session, const void* block);
  /// Takes released() back: the block lives on, as its realloc failed.
  void not_released(const Nesting& nesting, Caller caller, std::uint32_t session, const void* address, Block block);

  // The same of a sampled session, for the blocks that were chosen (sampling/hooks.hpp).

  void sampled(const Nesting& nesting, Caller caller, std::uint32_t session, const void* block, std::size_t bytes,
               sampling::Choice choice);
  /// Its address is 0 if the block is not counted.
  sampling::Sample sample_released(const Nesting& nesting, Caller caller, std::uint32_t session, const void* block);
  void sample_not_released(const Nesting& nesting, Caller caller, std::uint32_t session,
                           const sampling::Sample& sample);

  // In every session.

  void mapped(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes,
              const Mapping& mapping);
  /// Before the range is given back, as with blocks. What it returns is for settle(), after the call.
  Mappings::Before unmapped(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes);
  /// Around a call that puts another mapping in the place of what is there: before it, and after it has done so.
  void about_to_be_replaced(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes);
  void replaced(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes);
  /// What is mapped at an address.
  Mappings::Before mapping_at(const Nesting& nesting, std::uint32_t session, const void* address);
  /// A mapping has moved or has another size: it is the calling line's now, as with realloc.
  void remapped(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes,
                const Mappings::Before& before);
  /// After the call that unmapped() was called for: if it was refused all mappings there are as they were.
  void settle(const Nesting& nesting, std::uint32_t session, const Mappings::Before& before, Unmapping unmapping);
  /// After a call that was refused, but may have unmapped what stood here before that.
  void forget_if_unmapped(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes);
  /// After mprotect.
  void protected_anew(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes,
                      bool is_accessible);
  /// Before madvise: pages that are about to be given back may have been touched since they were measured last.
  void measure(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes);
  /// After madvise, with an advice that gives pages back.
  void pages_given_back(const Nesting& nesting, std::uint32_t session, const void* address, std::size_t bytes);
  void code_died(const void* code);

  /// An allocation of `bytes` failed, or was refused. Only noted: what comes of it is the program's business.
  void failed(const Nesting& nesting, Caller caller, std::uint32_t session, std::size_t bytes, bool refused);

  /// Whether an allocation may be tried; if not, it is noted as failed. See memory_guard.hpp for what is refused.
  /// @param more bytes that it adds to what is held.
  bool admits(const Nesting& nesting, Caller caller, std::uint32_t session, std::int64_t more, Backed backed) {
    return more < MemoryGuard::least_refused || admits_large(nesting, caller, session, more, backed);
  }
  /// Whether an allocation of Python's is to fail, as the running cell was asked to let go and does not see it.
  bool fails_python_allocation(const Nesting& nesting, std::uint32_t session, std::size_t bytes) {
    return MemoryGuard::wants_failure() && takes_request_by_failing(nesting, session, bytes);
  }
  /// Whether the handler of the interrupt is to raise; what is held now is noted.
  bool takes_request_by_interrupt(const Nesting& nesting);
  MemoryGuard& guard() { return guard_; }

  /// The site that the calling thread is at, for threads that it creates. SiteId::root if tracking is off.
  SiteId current_site(const Nesting& nesting, std::uint32_t session);
  /// What a new thread allocates can't be charged to its creator.
  void creator_lost(const Nesting& nesting) {
    if (joined_.load(std::memory_order_relaxed) != 0) {
      tree_.degrade(segment::Degradation::stacks_missing);
    }
    (void)nesting;
  }
  /// Memory of a thread that Python does not know is charged to `site`, where it was created.
  static void inherit(std::uint32_t session, SiteId site);

  /// In a forked child: it must not touch the segment that it shares with its parent.
  void detach_in_child();

  // In a process tree (tracker_tree.cpp).

  /// Becomes a member of the tree whose control page is in `directory`, if that is to be had. Before main(), after
  /// attach().
  void attach_tree(const char* directory);
  /// Leaves the tree for another one, or to stand by (environment::standing_by). With the GIL held. Null, or why it
  /// can't be; then the process stands by.
  const char* move_to_tree(const char* directory);
  /// The directory; empty without a tree.
  const char* tree_directory() const { return link_.directory(); }
  /// Before the process ends, or becomes another program.
  void leave_tree_for_good();
  void before_exec();
  void after_failed_exec();
  /// A program other than Python: what it holds is one site, counted without tables.
  bool is_program() const { return is_program_; }
  /// Adds a block of such a program, or takes it away (sign -1), by the allocator's own size.
  void count_in_program(const Nesting& nesting, std::uint32_t session, const void* block, int sign);

 private:
  /// The calling thread as Python knows it.
  struct Thread {
    Gil gil;
    /// Its thread state; null for threads that Python does not know.
    const std::byte* state;
  };

  /// How the process came to be tracked: as the one that was started for it, or as a member of its tree.
  enum class Role { top, forked, executed };

  Thread calling_thread(Caller caller) const;
  /// Only whether it holds the main interpreter's GIL, which is cheaper to tell.
  Gil gil_of_calling_thread(Caller caller) const;
  bool prepare_tables();
  void start_session(const ExclusiveGuard& guard, std::uint32_t session);
  /// Whether events of the session count in this process's tables. Outside the lock: what is found is kept only by a
  /// session that is still under way with the lock held.
  bool takes_part(std::uint32_t session) const { return session == joined_.load(std::memory_order_acquire); }
  // Events of a session that the process has not joined.
  /// Joins it, so that the event counts; or counts it as a program other than Python does. False if nothing is left to
  /// do.
  [[gnu::cold, gnu::noinline]] bool joins_with(const Nesting& nesting, Caller caller, std::uint32_t session,
                                               const void* block);
  [[gnu::cold, gnu::noinline]] void released_by_outsider(const Nesting& nesting, std::uint32_t session,
                                                         const void* block);
  /// Joins the session; false if its events don't count here.
  bool join(const Nesting& nesting, std::uint32_t session, Caller caller);
  bool join_for_mapping(const Nesting& nesting, std::uint32_t session, std::size_t bytes);
  bool join_with_stacks(std::uint32_t session, const Thread& thread);
  void tell_program_bytes(const ExclusiveGuard& guard);
  bool join_as_program(const ExclusiveGuard& guard, std::uint32_t session);
  /// @param parent as of TreeLink::open_segment.
  bool start_in_tree(const ExclusiveGuard& guard, std::uint32_t session, const tree::Member* parent = nullptr);
  // Without a segment, as a process that may end in a millisecond (tree.hpp, Young).
  bool start_young(const ExclusiveGuard& guard, std::uint32_t session, const tree::Member* parent);
  static void outgrown(const ExclusiveGuard& guard);
  void grow_up(const ExclusiveGuard& guard);
  void grow_up_when_old(const ExclusiveGuard& guard);
  void stop_being_young(const ExclusiveGuard& guard);
  void go_on_in_child();
  SiteId site_of(const ExclusiveGuard& guard, const Thread& thread);
  /// Runs `action(guard, thread)` alone, if `session` is still under way.
  template <class Action>
  void in_session(std::uint32_t session, Action action);
  /// Resident memory of all tables.
  std::uint64_t own_bytes(const ExclusiveGuard& guard) const;
  void enter_mapping(const ExclusiveGuard& guard, const Range& range);
  void enter_sample(const ExclusiveGuard& guard, const sampling::Sample& sample);
  void leave_sample(const ExclusiveGuard& guard, const sampling::Sample& sample);
  void map_sampled(int descriptor);
  void begin_sampling(const ExclusiveGuard& guard, std::uint64_t mean_bytes);
  // The checked build's.
  void audit_stack(const ExclusiveGuard& guard, const Thread& thread, const python::CallStack& stack, SiteId found);
  void audit_session(const ExclusiveGuard& guard) const;

  void put(const ExclusiveGuard& guard, const void* address, std::size_t bytes, SiteId site);
  // What is rare at an event.
  /// Of a thread that Python does not know, or that has no place for its call stack yet.
  [[gnu::cold, gnu::noinline]] SiteId site_of_newcomer(const ExclusiveGuard& guard, const Thread& thread);
  /// For a thread without Python frames: where it was created.
  [[gnu::cold, gnu::noinline]] static SiteId site_of_creator();
  [[gnu::cold, gnu::noinline]] void measure_mappings(const ExclusiveGuard& guard, std::size_t bytes);
  [[gnu::cold, gnu::noinline]] void release_stale(const ExclusiveGuard& guard, Block stale);
  [[gnu::cold, gnu::noinline]] static void look_for_thread_pools();
  bool admits_large(const Nesting& nesting, Caller caller, std::uint32_t session, std::int64_t more, Backed backed);
  bool takes_request_by_failing(const Nesting& nesting, std::uint32_t session, std::size_t bytes);

  segment::View view_{};
  /// Not mapped unless sampled sessions are to be expected.
  segment::SampledView sampled_view_{};
  Exclusive exclusive_;
  python::Interpreter python_;
  Ledger ledger_;
  CallTree tree_;
  BlockTable blocks_;
  sampling::SampledLedger sampled_ledger_;
  sampling::SampleTable samples_;
  /// Sites whose sampled rows were written.
  std::uint32_t sampled_rows_ = 0;
  Mappings mappings_;
  /// Events since the mappings were thought of.
  std::uint32_t events_ = 0;
  MemoryGuard guard_;
  std::uint32_t sessions_ = 0;
  /// The session that this process's tables are of.
  std::atomic<std::uint32_t> joined_{0};
  TreeLink link_;
  Role role_ = Role::top;
  bool is_program_ = false;
  bool joining_ = false;
  /// The same of a program other than Python.
  std::uint32_t program_session_ = 0;
  /// A session that this process has no room for.
  std::uint32_t refused_session_ = 0;
  /// What a program other than Python holds, and how much of it the ledger knows.
  std::atomic<std::int64_t> program_bytes_{0};
  std::atomic<std::int64_t> program_told_{0};
  std::atomic<std::uint32_t> program_events_{0};
  /// Under the exclusive lock.
  std::int64_t program_counted_ = 0;
  bool prepared_ = false;
  /// Null where there was no address space for it.
  Nursery* nursery_ = nullptr;
  /// Its place in the tree, while `view_` is in the nursery.
  tree::Young* young_ = nullptr;
  std::uint32_t young_events_ = 0;
  bool watches_code_ = false;
  bool forked_ = false;
  bool limits_thread_pools_ = false;
  /// Why the segment could not be taken over; null if nothing went wrong.
  const char* problem_ = nullptr;
  /// Raised when a known code object dies.
  std::uint64_t epoch_ = 1;
};

/// The process's tracker.
extern constinit Tracker tracker;

}  // namespace fil
