#include "watcher.hpp"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace fil::memory {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// Nothing fills memory faster: memset into fresh huge pages reaches 5.6 GB/s a core here.
constexpr double fastest_bytes_per_second = 20e9;
constexpr auto shortest_interval = milliseconds(1);
constexpr auto longest_interval = milliseconds(100);
/// Between cells, where little happens, an idle kernel is to cost nothing.
constexpr auto longest_interval_between_cells = milliseconds(500);
constexpr auto slow_interval = milliseconds(1000);
/// Of a search of all processes; a millisecond or more each.
constexpr auto tree_interval_near = milliseconds(30);
constexpr auto tree_interval_far = milliseconds(2000);
/// After so long an interrupt that had no effect is helped by a failing allocation: a loop in C never sees it.
constexpr auto interrupt_patience = milliseconds(20);
/// A killed process gives its memory back within 10 to 200 ms.
constexpr auto death_takes = milliseconds(300);
/// Rules that are no matter of milliseconds, and budgets, wait so long for a cell that was asked.
constexpr auto cell_patience = milliseconds(2000);
/// Fewer bytes are no cause.
constexpr std::int64_t least_growth = 8'000'000;
constexpr double stall_limit = 0.5;
/// Memory that others have taken for so long is told.
constexpr auto worth_a_word = milliseconds(500);

}  // namespace

ProcessHandle::ProcessHandle(pid_t pid) : pid_(pid), descriptor_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}

ProcessHandle::~ProcessHandle() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

bool ProcessHandle::signal(int number) const {
  // Kernels before 5.3 and some sandboxes have no such descriptors.
  return descriptor_ >= 0 ? syscall(SYS_pidfd_send_signal, descriptor_, number, nullptr, 0) == 0
                          : ::kill(pid_, number) == 0;
}

Watcher::Watcher(segment::View view, WatchOptions options, OnEvent on_event)
    : view_(view),
      guard_(view.guard()),
      options_(std::move(options)),
      on_event_(std::move(on_event)),
      available_(options_.root, options_.pid),
      tree_(options_.root, options_.pid),
      program_(options_.pid),
      known_oom_kills_(available_.oom_kills()),
      headroom_bytes_(options_.headroom_bytes),
      acts_(options_.acts) {
  // Before the first wake-up nothing is known; an allocation at once must not meet a stale word.
  step();
  // Signals are Node's main thread's.
  sigset_t all{};
  sigset_t before{};
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Watcher::~Watcher() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  called_.notify_all();
  thread_.join();
}

void Watcher::set_action(std::int64_t headroom_bytes, bool acts) {
  headroom_bytes_.store(headroom_bytes, std::memory_order_relaxed);
  acts_.store(acts, std::memory_order_relaxed);
  // The cell that this is for begins at once, and the next look may be a tenth of a second away.
  const Figures known = latest();
  if (known.limit_bytes > 0) {
    admit(known.available_bytes, headroom_of(known.limit_bytes));
  }
  {
    const std::lock_guard lock(mutex_);
    look_ = true;
  }
  called_.notify_all();
}

/// Publishes the largest single request that memory suffices for.
void Watcher::admit(std::int64_t available_bytes, std::int64_t headroom) {
  const bool refuses = acts_.load(std::memory_order_relaxed) && options_.guards;
  guard_.admissible_bytes.store(refuses ? std::max<std::int64_t>(available_bytes - headroom, 0) : INT64_MAX,
                                std::memory_order_relaxed);
}

Figures Watcher::latest() const {
  const std::lock_guard lock(mutex_);
  return latest_;
}

std::int64_t Watcher::fresh_oom_kills() const {
  const std::int64_t now = available_.oom_kills();
  const std::lock_guard lock(mutex_);
  return now - known_oom_kills_;
}

void Watcher::run() {
  // By which `npm run bench:memory` finds it.
  pthread_setname_np(pthread_self(), "fil-memory");
  // On a busy machine an ordinary thread can wait for 50 ms, in which 100 MB fill. Where we may not, we do without.
  sched_param least{};
  least.sched_priority = sched_get_priority_min(SCHED_RR);
  if (pthread_setschedparam(pthread_self(), SCHED_RR, &least) != 0) {
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), -20);
  }
  std::unique_lock lock(mutex_);
  Clock::duration interval = shortest_interval;
  while (true) {
    called_.wait_for(lock, interval, [this] { return end_ || look_; });
    if (end_) {
      return;
    }
    look_ = false;
    lock.unlock();
    wake_ups_.fetch_add(1, std::memory_order_relaxed);
    interval = step();
    lock.lock();
  }
}

/// One look, with what follows from it. Returns when to look again.
Watcher::Clock::duration Watcher::step() {
  const Clock::time_point now = Clock::now();
  Reading reading = available_.read();
  const std::uint64_t cell = guard_.running_cell.load(std::memory_order_acquire);
  if (cell != cell_) {
    // What was before: a cell may have taken gigabytes since it began.
    cell_ = cell;
    baseline_ = Baseline{{}, last_resident_bytes_};
    if (last_reading_.is_known()) {
      baseline_.available.emplace(last_reading_.where, last_reading_.available_bytes);
    }
    asked_for_available_ = asked_for_budget_ = Asked{};
    told_not_cause_ = false;
    tree_found_ = {};
  }
  const bool is_near = reading.available_bytes < 4 * headroom_of(reading.limit_bytes);
  if (now - tree_found_ >= (is_near || options_.limit_bytes > 0 ? tree_interval_near : tree_interval_far)) {
    tree_found_ = now;
    tree_.find();
    others_resident_bytes_ = -tree_.top_resident_bytes();
    for (const Process& process : tree_.processes()) {
      others_resident_bytes_ += process.resident_bytes;
    }
  }
  const std::int64_t program_resident = tree_.top_resident_bytes();
  const std::int64_t resident = program_resident + std::max<std::int64_t>(others_resident_bytes_, 0);
  if (options_.limit_bytes > 0 && options_.limit_bytes - resident < reading.available_bytes) {
    reading = Reading{options_.limit_bytes - resident, options_.limit_bytes, LevelKind::chosen, false, {}};
  }
  if (!reading.is_known() || (program_resident == 0 && last_reading_.is_known())) {
    // It has ended: the last figures of its life stay.
    return longest_interval;
  }
  if (now - looked_slowly_ >= slow_interval) {
    looked_slowly_ = now;
    look_slowly(reading);
  }
  const bool is_first = !last_reading_.is_known();
  // A level that was not the tightest before had at least as much left as the one that was.
  baseline_.available.emplace(reading.where, is_first
                                                 ? reading.available_bytes
                                                 : std::max(reading.available_bytes, last_reading_.available_bytes));
  if (is_first) {
    baseline_.resident_bytes = resident;
  }
  last_reading_ = reading;
  last_resident_bytes_ = resident;

  const std::int64_t headroom = headroom_of(reading.limit_bytes);
  Rule rule = Rule::available;
  if (reading.available_bytes >= headroom && swapped_bytes_ > reading.available_bytes) {
    rule = Rule::swap;
  } else if (reading.available_bytes >= headroom && stalls_ && reading.available_bytes < 2 * headroom) {
    rule = Rule::pressure;
  }
  const Figures figures = figures_of(reading, rule);
  {
    const std::lock_guard lock(mutex_);
    latest_ = figures;
  }
  note(figures, now);
  const bool acts = acts_.load(std::memory_order_relaxed);
  admit(reading.available_bytes, headroom);
  std::int64_t left = reading.available_bytes - headroom;
  if (!program_killed_) {
    if (!acts) {
      short_since_ = now;
    } else if (left < 0 || rule != Rule::available) {
      decide(figures, now);
    } else {
      short_since_ = now;
      if (left >= headroom / 2) {
        asked_for_available_ = Asked{};
      }
    }
    const std::int64_t budget = guard_.budget_bytes.load(std::memory_order_relaxed);
    // A budget is the cell's own wish, and holds whatever else is not to be acted on. Before tracking has begun the
    // figure is the last session's.
    const bool tracks = view_.header().state.load(std::memory_order_acquire) == segment::State::tracking;
    if (options_.guards && budget != INT64_MAX && cell_ != 0 && tracks) {
      if (figures.tracked_bytes > budget) {
        decide_budget(figures, budget, now);
      } else if (figures.tracked_bytes < budget / 10 * 9) {
        asked_for_budget_ = Asked{};
      }
      left = std::min(left, budget - figures.tracked_bytes);
    }
    press(now);
  }
  const double seconds_left = static_cast<double>(std::max<std::int64_t>(left, 0)) / fastest_bytes_per_second;
  // A budget is set when its cell begins; its first look must not wait.
  const bool is_between_cells =
      options_.guards && cell_ == 0 && guard_.budget_bytes.load(std::memory_order_relaxed) == INT64_MAX;
  return std::clamp<Clock::duration>(nanoseconds(static_cast<std::int64_t>(seconds_left * 1e9)), shortest_interval,
                                     is_between_cells ? longest_interval_between_cells : longest_interval);
}

/// Leaves the figures where they are found if we are killed with the process.
void Watcher::note(const Figures& figures, Clock::time_point now) {
  segment::LastReading& last = view_.last_reading();
  last.limit_bytes.store(figures.limit_bytes, std::memory_order_relaxed);
  last.available_bytes.store(figures.available_bytes, std::memory_order_relaxed);
  last.headroom_bytes.store(figures.headroom_bytes, std::memory_order_relaxed);
  last.resident_bytes.store(figures.resident_bytes, std::memory_order_relaxed);
  last.swapped_bytes.store(figures.swapped_bytes, std::memory_order_relaxed);
  last.level.store(static_cast<std::uint32_t>(figures.kind), std::memory_order_relaxed);
  const auto moment = duration_cast<nanoseconds>(now.time_since_epoch()).count();
  last.at_nanoseconds.store(static_cast<std::uint64_t>(moment), std::memory_order_release);
}

/// What changes slowly and costs more to read.
void Watcher::look_slowly(const Reading& reading) {
  const std::int64_t kills = available_.oom_kills();
  {
    const std::lock_guard lock(mutex_);
    known_oom_kills_ = kills;
  }
  swapped_bytes_ = available_.swap_used_bytes() > 0 ? tree_.swapped_bytes() : 0;
  stalls_ = reading.available_bytes < reading.limit_bytes / 4 && available_.stalled_share().value_or(0) >= stall_limit;
}

std::int64_t Watcher::headroom_of(std::int64_t limit_bytes) const {
  if (const std::int64_t chosen = headroom_bytes_.load(std::memory_order_relaxed); chosen > 0) {
    // Else a mistyped amount would end whatever begins to grow.
    return std::min(chosen, limit_bytes / 2);
  }
  return options_.guards ? default_guard_headroom(limit_bytes) : default_headroom(limit_bytes);
}

Figures Watcher::figures_of(const Reading& reading, Rule rule) const {
  Figures figures;
  figures.rule = rule;
  figures.kind = reading.kind;
  figures.where = reading.where;
  figures.limit_bytes = reading.limit_bytes;
  figures.available_bytes = reading.available_bytes;
  figures.headroom_bytes = headroom_of(reading.limit_bytes);
  figures.tracked_bytes = view_.header().current_bytes.load(std::memory_order_relaxed);
  figures.resident_bytes = last_resident_bytes_;
  figures.swapped_bytes = swapped_bytes_;
  return figures;
}

/// Whether it is these processes that took the memory, since the cell began (or the last one ended): a quarter of what
/// has gone, at least.
bool Watcher::is_cause(const Figures& figures) const {
  const std::int64_t grown = figures.resident_bytes + figures.swapped_bytes - baseline_.resident_bytes;
  const auto before = baseline_.available.find(figures.where);
  const std::int64_t gone = before == baseline_.available.end() ? 0 : before->second - figures.available_bytes;
  return grown >= std::max(least_growth, gone / 4);
}

void Watcher::decide(const Figures& figures, Clock::time_point now) {
  const bool can_ask = options_.guards && cell_ != 0 && guard_.signal_number.load(std::memory_order_relaxed) != 0;
  const bool causes = is_cause(figures);
  if (can_ask && causes) {
    ask(figures, asked_for_available_, figures.headroom_bytes / 8, now);
  }
  bool too_late = true;
  if (options_.guards && figures.rule == Rule::available) {
    // Also when the cell has just ended: its exception still holds what it will let go of. Where the kernel kills the
    // whole group, us with it, nobody could tell what happened: earlier is better.
    const std::int64_t parts = last_reading_.kills_group ? 2 : cell_ != 0 ? 4 : 8;
    too_late = figures.available_bytes < figures.headroom_bytes / parts;
  } else if (can_ask) {
    too_late = is_pending() && now - asked_at_ >= cell_patience;
  }
  if (!too_late) {
    return;
  }
  const bool holds_most = figures.resident_bytes + figures.swapped_bytes >= figures.limit_bytes / 2;
  if (causes || holds_most) {
    kill(figures, now, false);
  } else if (!told_not_cause_ && now - short_since_ >= worth_a_word) {
    told_not_cause_ = true;
    tell(EventKind::not_the_cause, figures, cell_, {});
  }
}

void Watcher::decide_budget(Figures figures, std::int64_t budget, Clock::time_point now) {
  figures.rule = Rule::budget;
  figures.limit_bytes = budget;
  figures.available_bytes = budget - figures.tracked_bytes;
  ask(figures, asked_for_budget_, std::max(budget / 20, least_growth), now);
  // A budget is a wish, not a cliff: only a cell that doesn't react and goes far beyond it is ended.
  const std::int64_t tolerated = budget + budget / 4 + 100'000'000;
  if (is_pending() && now - asked_at_ >= cell_patience && figures.tracked_bytes > tolerated) {
    kill(figures, now, true);
  }
}

/// Asks the running cell to let go, unless it was asked already and has not grown by `step` since.
void Watcher::ask(const Figures& figures, Asked& asked, std::int64_t step, Clock::time_point now) {
  if (is_pending() || (asked.ever && figures.available_bytes >= asked.left - step)) {
    return;
  }
  asked = Asked{true, figures.available_bytes};
  asked_at_ = now;
  pressed_ = false;
  guard_.may_fail_python_allocation.store(0, std::memory_order_relaxed);
  // Pairs with the takers' exchange. If the cell has ended by now, its number is nobody's.
  guard_.request.store(cell_, std::memory_order_release);
  program_.signal(guard_.signal_number.load(std::memory_order_relaxed));
  tell(EventKind::interrupt_requested, figures, cell_, {});
}

/// If the cell doesn't see the interrupt, a loop in C perhaps, lets one of its allocations fail.
void Watcher::press(Clock::time_point now) {
  if (!pressed_ && is_pending() && now - asked_at_ >= interrupt_patience) {
    pressed_ = true;
    guard_.may_fail_python_allocation.store(1, std::memory_order_release);
    program_.signal(guard_.signal_number.load(std::memory_order_relaxed));
  }
}

/// Kills the process that holds most. If that is one which the program started, the program lives on: a greedy worker
/// must not cost the notebook.
void Watcher::kill(const Figures& figures, Clock::time_point now, bool program_only) {
  if (now - killed_at_ < death_takes) {
    return;
  }
  kills_in_a_row_ = now - killed_at_ < milliseconds(10'000) ? kills_in_a_row_ + 1 : 0;
  killed_at_ = now;
  const std::vector<Process> processes = tree_.processes();
  const auto largest = std::max_element(processes.begin(), processes.end(), [](const Process& a, const Process& b) {
    return a.resident_bytes < b.resident_bytes;
  });
  std::int64_t all = 0;
  for (const Process& process : processes) {
    all += process.resident_bytes;
  }
  // A pool of equal workers, or one that starts new ones as they die, is ended with its program.
  const bool worker_helps = largest->pid != options_.pid && largest->resident_bytes >= all / 4 && kills_in_a_row_ < 3;
  if (!program_only && worker_helps) {
    std::string command = tree_.command_of(largest->pid);
    const ProcessHandle worker(largest->pid);
    // It may have ended, and its pid may be another's, since the processes were listed.
    if (!tree_.command_of(largest->pid).empty() && worker.signal(SIGKILL)) {
      tell(EventKind::killed_subprocess, figures, static_cast<std::uint64_t>(largest->pid), std::move(command));
    }
    return;
  }
  program_killed_ = program_.signal(SIGKILL);
  if (program_killed_) {
    tell(EventKind::killed_program, figures, static_cast<std::uint64_t>(options_.pid), {});
  }
}

void Watcher::tell(EventKind kind, const Figures& figures, std::uint64_t subject, std::string command) {
  on_event_(Event{kind, figures, subject, std::move(command)});
}

}  // namespace fil::memory
