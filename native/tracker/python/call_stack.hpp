// The calling thread's call stack as a site, without a profile hook: its frames are read at each event and compared
// with those of the last one. Nothing runs when Python code calls or returns, so code that does not allocate pays
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../call_tree.hpp"
#include "../checks/checks.hpp"
#include "canary.hpp"
#include "interpreter.hpp"

namespace fil::python {

/// One thread's last walk. Lives in memory of its own, as thread-local storage of a preloaded library is scarce.
class CallStack {
 public:
  /// Frames that are walked; deeper stacks lose their outermost frames, visibly.
  static constexpr std::size_t max_depth = 1U << 18;

  /// For `thread`, whose frames the calling thread owns. SiteId::root if it has no frames.
  [[gnu::always_inline]] SiteId site(const ExclusiveGuard& guard, Gil gil, CallTree& tree, const Interpreter& python,
                                     const std::byte* thread, std::uint64_t epoch) {
    const std::byte* leaf = python.current_frame(thread);
    // Most allocations are made by the function that made the last one.
    if (epoch == epoch_ && depth_ != 0 && levels_[depth_ - 1].frame == leaf && callers_unchanged(python)) [[likely]] {
      const std::byte* instruction = python.instruction(leaf);
      if (instruction != levels_[depth_ - 1].instruction) {
        move_on(guard, tree, python, leaf, instruction);
      }
      compared_ += depth_ - 1 - trusted_below();
      if (compared_ > worth_a_canary_in_all) [[unlikely]] {
        mark_steady_level(python, gil);
      }
      pass(fil::Mark::stack_unchanged);
      return sites_[depth_ - 1];
    }
    return walk(guard, gil, tree, python, leaf, epoch);
  }

  /// Gives back what a deep recursion took; the next walk begins anew.
  void release();

  /// Calls `visit(const void* address, std::size_t bytes)` for the memory that it has taken besides itself.
  template <class Visit>
  void each_reservation(Visit visit) const {
    if (capacity_ != 0) {
      visit(levels_, bytes_for(capacity_));
    }
  }

  /// Levels that the last walk found.
  std::size_t depth() const { return depth_; }

  /// The next call finds the site anew, from the frames alone.
  void forget() {
    epoch_ = ~std::uint64_t{0};
    depth_ = 0;
  }

 private:
  /// What the walk compares. Kept apart from `sites_`: deep stacks are compared at every event, so each level is two
  /// words.
  struct Level {
    const std::byte* frame;
    const std::byte* instruction;
  };

  /// A site that was looked up lately; spares the tree's two tables where a loop allocates at several places in turn.
  struct Recent {
    const std::byte* instruction;
    SiteId caller;
    SiteId site;
  };

  /// A level whose frame has a canary: once it is reached, and lives, the levels outside it are as they were.
  struct Mark {
    std::size_t level;
    Canary canary;
  };

  /// A walk that had to compare more levels than this plants a canary, so that the next one is shorter...
  static constexpr std::size_t worth_a_canary = 48;
  /// ... this many levels from where it began: innermost frames are too short-lived to bear one.
  static constexpr std::size_t canary_distance = 16;
  /// Short walks add up: once they have compared so many levels, which costs some ten canaries, the innermost frame
  /// that has lived all the while gets one. Rent or buy: https://en.wikipedia.org/wiki/Ski_rental_problem
  static constexpr std::size_t worth_a_canary_in_all = 2048;
  /// A canary that spares no more levels than this an event isn't worth it.
  static constexpr std::size_t shallow = 3;
  /// Levels that a new stack has room for, in one page, as a forked child begins with a new one; it grows fourfold, and
  /// stays a power of two.
  static constexpr std::size_t first_depth = 1U << 6;

  /// A power of two; 12 KiB, a third of a first-level cache.
  static constexpr std::size_t recent_capacity = 512;

  /// Hides where a pointer came from. Comparing a loaded pointer with a cached one tells the compiler that they are
  /// equal; if it then goes on from the loaded one, each level waits for the load before it. From the cached one the
  /// levels overlap.
  static const std::byte* independent(const std::byte* pointer) {
    asm("" : "+r"(pointer));
    return pointer;
  }

  /// Whether all levels but the innermost, whose frame is known to be current, stand where they stood; false also if
  /// that takes a long look, which is for walk() to do.
  [[gnu::always_inline]] bool callers_unchanged(const Interpreter& python) const {
    const std::size_t stop = trusted_below();
    if (depth_ - stop > worth_a_canary) [[unlikely]] {
      return false;
    }
    const Level* level = &levels_[depth_ - 1];
    const std::byte* frame = level->frame;
    for (; level != &levels_[stop]; --level) {
      if (python.previous(frame) != level[-1].frame) {
        return false;
      }
      frame = independent(level[-1].frame);
      pass(fil::Mark::level_compared);
      if (python.instruction(frame) != level[-1].instruction) {
        return false;
      }
    }
    return mark_count_ != 0 ? canary_lives(python, frame, marks_[mark_count_ - 1].canary)
                            : base_unchanged(python, frame);
  }
  /// The innermost level with a canary: those outside it need no look. The outermost if there is none.
  [[gnu::always_inline]] std::size_t trusted_below() const {
    return mark_count_ != 0 ? marks_[mark_count_ - 1].level : 0;
  }
  bool base_unchanged(const Interpreter& python, const std::byte* outermost) const {
    return python.previous(outermost) == base_frame_ &&
           (base_frame_ == nullptr || python.code(base_frame_) == base_code_);
  }

  static constexpr std::size_t most_marks(std::size_t levels) { return levels / canary_distance; }
  static constexpr std::size_t bytes_for(std::size_t levels) {
    return levels * (sizeof(Level) + sizeof(const std::byte*) + sizeof(SiteId) + sizeof(std::uint32_t)) +
           most_marks(levels) * sizeof(Mark);
  }
  bool grow();
  void forget_recent();
  [[gnu::noinline]] SiteId walk(const ExclusiveGuard& guard, Gil gil, CallTree& tree, const Interpreter& python,
                                const std::byte* leaf, std::uint64_t epoch);
  /// How a cached level and those outside it compare with the current stack.
  struct Comparison {
    /// From the outermost, how many levels still stand at the same instruction; 0 if the stack has other frames.
    std::size_t same;
    /// Where it has them: the level that has another caller than it had. 0 if its outermost frame was called from
    /// elsewhere.
    std::size_t parted;
    bool joined;
  };
  Comparison compare(const Interpreter& python, std::size_t joined, Gil gil);
  [[gnu::cold, gnu::noinline]] bool mark_level(const Interpreter& python, std::size_t level, std::size_t tries);
  [[gnu::cold, gnu::noinline]] void mark_steady_level(const Interpreter& python, Gil gil);

  /// The frame at `level`, which is not the outermost, was left since the last event.
  void left(std::size_t level) {
    if (steady_ >= level) {
      steady_ = level - 1;
    }
  }

  std::size_t level_slot(const std::byte* frame) const {
    // Frames lie side by side in chunks of stack, or anywhere, by 16 bytes.
    return static_cast<std::size_t>((reinterpret_cast<std::uintptr_t>(frame) >> 3) * 0x9e37'79b9'7f4a'7c15U >> 40) &
           (capacity_ - 1);
  }

  /// The innermost frame stands at another instruction than at the last event.
  [[gnu::always_inline]] void move_on(const ExclusiveGuard& guard, CallTree& tree, const Interpreter& python,
                                      const std::byte* leaf, const std::byte* instruction) {
    const SiteId caller = depth_ == 1 ? SiteId::root : sites_[depth_ - 2];
    levels_[depth_ - 1].instruction = instruction;
    sites_[depth_ - 1] = site_at(guard, tree, python, caller, leaf, instruction);
  }
  /// The site of a frame that stands at `instruction`, called from `caller`.
  [[gnu::always_inline]] SiteId site_at(const ExclusiveGuard& guard, CallTree& tree, const Interpreter& python,
                                        SiteId caller, const std::byte* frame, const std::byte* instruction) {
    const Recent& recent = recent_at(caller, instruction);
    return recent.instruction == instruction && recent.caller == caller
               ? recent.site
               : enter(guard, tree, python, caller, frame, instruction);
  }
  const Recent& recent_at(SiteId caller, const std::byte* instruction) const {
    const std::size_t place = (reinterpret_cast<std::uintptr_t>(instruction) >> 1) + index_of(caller) * std::size_t{31};
    return recent_[place & (recent_capacity - 1)];
  }
  Recent& recent_at(SiteId caller, const std::byte* instruction) {
    return const_cast<Recent&>(const_cast<const CallStack*>(this)->recent_at(caller, instruction));
  }
  /// The same, where it isn't among the recent ones; of a frame that stands for no code, the caller's.
  [[gnu::noinline]] SiteId enter(const ExclusiveGuard& guard, CallTree& tree, const Interpreter& python, SiteId caller,
                                 const std::byte* frame, const std::byte* instruction);

  // What an event reads comes first, in one line of the cache.
  /// Of the deaths of code objects that the caches know; after another, their addresses may name others.
  alignas(64) std::uint64_t epoch_ = 0;
  std::size_t depth_ = 0;
  /// Outermost first.
  Level* levels_ = nullptr;
  SiteId* sites_ = nullptr;
  std::size_t mark_count_ = 0;
  /// By rising level; `most_marks(capacity_)`.
  Mark* marks_ = nullptr;
  /// Levels that were compared since a canary was planted, or thought of, in short walks...
  std::size_t compared_ = 0;
  /// ... and the innermost level whose frame has not been left since.
  std::size_t steady_ = 0;
  /// What the outermost level was called from: a frame of boundary code, or null.
  const std::byte* base_frame_ = nullptr;
  const std::byte* base_code_ = nullptr;
  /// How many levels the arrays have room for; they are one piece of memory. 0 before the first walk.
  std::size_t capacity_ = 0;
  /// Frames between the leaf and the join, innermost first.
  const std::byte** fresh_ = nullptr;
  /// By level_slot() of a frame: the level where it was entered last. Only a hint.
  std::uint32_t* level_by_frame_ = nullptr;
  Recent recent_[recent_capacity];
};

}  // namespace fil::python
