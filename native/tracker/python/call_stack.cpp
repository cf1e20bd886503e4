#include "call_stack.hpp"

#include <string.h>

#include "../system.hpp"

namespace fil::python {
/// Compares from level `joined`, which is live, outwards. Each level is read only after the one inside it was found to
/// lead to it, so no dead frame is touched. Instructions are compared by address: while no known code object has died
/// (epoch_), an address stands for one instruction of one code object.
CallStack::Comparison CallStack::compare(const Interpreter& python, std::size_t joined, Gil gil) {
  while (mark_count_ != 0 && marks_[mark_count_ - 1].level > joined) {
    --mark_count_;
  }
  std::size_t same = joined + 1;
  const Level* level = &levels_[joined];
  const std::byte* frame = level->frame;
  const auto parts_here = [&] { return Comparison{0, static_cast<std::size_t>(level - levels_), false}; };
  for (;;) {
    const Level* stop = &levels_[trusted_below()];
    for (; level != stop; --level) {
      pass(fil::Mark::level_compared);
      if (python.instruction(frame) != level->instruction) [[unlikely]] {
        same = static_cast<std::size_t>(level - levels_);
      }
      if (python.previous(frame) != level[-1].frame) [[unlikely]] {
        return parts_here();
      }
      frame = independent(level[-1].frame);
    }
    // Callers of a frame that has not returned stand where they stood; it may itself have moved on, if it is where the
    // walk began.
    if (python.instruction(frame) != level->instruction) {
      same = static_cast<std::size_t>(level - levels_);
    }
    if (mark_count_ == 0) {
      break;
    }
    if (canary_lives(python, frame, marks_[mark_count_ - 1].canary)) [[likely]] {
      pass(fil::Mark::canary_trusted);
      break;
    }
    pass(fil::Mark::canary_dead);
    --mark_count_;
    if (level == levels_) {
      break;
    }
    // Its frame was left, whatever stands there now.
    left(static_cast<std::size_t>(level - levels_));
    if (python.previous(frame) != level[-1].frame) {
      return parts_here();
    }
    --level;
    frame = level->frame;
  }
  if (level == levels_ && !base_unchanged(python, frame)) {
    return parts_here();
  }
  const auto compared = static_cast<std::size_t>(&levels_[joined] - level);
  compared_ += compared;
  if (gil == Gil::held && compared > worth_a_canary) [[unlikely]] {
    mark_level(python, joined - canary_distance, canary_distance);
  }
  return Comparison{same, 0, true};
}

/// Plants a canary at `level` or, where the frame can't bear one, up to `tries` levels further out.
bool CallStack::mark_level(const Interpreter& python, std::size_t level, std::size_t tries) {
  const std::size_t last = trusted_below();
  for (; tries != 0 && level > last && mark_count_ < most_marks(capacity_); --tries, --level) {
    const Canary canary = plant_canary(python, levels_[level].frame);
    if (canary.object != nullptr) {
      marks_[mark_count_++] = Mark{level, canary};
      pass(fil::Mark::canary_planted);
      return true;
    }
  }
  return false;
}

/// Plants a canary as far in as a frame has lived since this was done last, and as one can bear it: those of generators
/// and coroutines can't, as they are left and entered again.
void CallStack::mark_steady_level(const Interpreter& python, Gil gil) {
  const std::size_t level = steady_ < depth_ ? steady_ : depth_ - 1;
  const std::size_t last = trusted_below();
  if (gil == Gil::held && level > last + shallow) {
    mark_level(python, level, level - last - shallow);
  }
  compared_ = 0;
  steady_ = depth_ - 1;
}

/// Makes room for four times as many levels; false if that is too many, or there is no memory for them.
bool CallStack::grow() {
  const std::size_t larger = capacity_ == 0 ? first_depth : 4 * capacity_;
  auto* memory =
      larger <= max_depth ? static_cast<std::byte*>(system::reserve_for_this_process(bytes_for(larger))) : nullptr;
  if (memory == nullptr) {
    return false;
  }
  auto* levels = reinterpret_cast<Level*>(memory);
  auto* fresh = reinterpret_cast<const std::byte**>(levels + larger);
  auto* marks = reinterpret_cast<Mark*>(fresh + larger);
  auto* sites = reinterpret_cast<SiteId*>(marks + most_marks(larger));
  auto* level_by_frame = reinterpret_cast<std::uint32_t*>(sites + larger);
  if (capacity_ != 0) {
    memcpy(levels, levels_, depth_ * sizeof(Level));
    memcpy(fresh, fresh_, capacity_ * sizeof(*fresh_));
    memcpy(marks, marks_, mark_count_ * sizeof(Mark));
    memcpy(sites, sites_, depth_ * sizeof(SiteId));
    system::unreserve(levels_, bytes_for(capacity_));
  }
  levels_ = levels;
  fresh_ = fresh;
  marks_ = marks;
  sites_ = sites;
  level_by_frame_ = level_by_frame;
  capacity_ = larger;
  for (std::size_t level = 0; level < depth_; ++level) {
    level_by_frame_[level_slot(levels_[level].frame)] = static_cast<std::uint32_t>(level);
  }
  return true;
}

void CallStack::release() {
  if (capacity_ != 0) {
    system::unreserve(levels_, bytes_for(capacity_));
    capacity_ = 0;
  }
  forget();
}

void CallStack::forget_recent() {
  // Before the first walk there are none, and their pages are untouched.
  if (epoch_ == 0) {
    return;
  }
  for (Recent& recent : recent_) {
    recent.instruction = nullptr;
  }
}

SiteId CallStack::enter(const ExclusiveGuard& guard, CallTree& tree, const Interpreter& python, SiteId caller,
                        const std::byte* frame, const std::byte* instruction) {
  if (python.is_transparent(frame)) {
    return caller;
  }
  const std::byte* code = python.code(frame);
  // Boundary code can stand where other code stood: what it allocates itself, it allocates outside of the stacks.
  const SiteId site =
      tree.is_boundary(code) ? SiteId::root : tree.site(guard, caller, code, python.offset_in_code(code, instruction));
  recent_at(caller, instruction) = Recent{instruction, caller, site};
  return site;
}

SiteId CallStack::walk(const ExclusiveGuard& guard, Gil gil, CallTree& tree, const Interpreter& python,
                       const std::byte* leaf, std::uint64_t epoch) {
  if (epoch != epoch_) [[unlikely]] {
    pass(fil::Mark::stack_forgotten_as_code_died);
    forget_recent();
    epoch_ = epoch;
    depth_ = 0;
    mark_count_ = 0;
  }

  if (capacity_ == 0 && !grow()) [[unlikely]] {
    tree.degrade(segment::Degradation::stacks_missing);
    return SiteId::root;
  }

  // Walk outwards from the leaf until a frame of the cached walk, or the base. Frames of generators come back at other
  // levels than they were, so a known frame can have other callers; the stacks then join further out.
  std::size_t fresh = 0;
  std::size_t same = 0;
  std::size_t limit = depth_;
  const std::byte* frame = leaf;
  bool joined = false;
  while (frame != nullptr) {
    const std::size_t level = level_by_frame_[level_slot(frame)];
    if (level < limit && levels_[level].frame == frame) {
      const Comparison found = compare(python, level, gil);
      if (found.joined) {
        joined = true;
        same = found.same;
        left(level + 1);
        pass(same == level + 1 ? fil::Mark::stack_joined : fil::Mark::stack_moved_on_at_join);
        // Levels whose instruction moved on are entered again, from their cached frames.
        for (std::size_t i = level + 1; i > same; --i) {
          if (fresh == capacity_ && !grow()) {
            break;
          }
          fresh_[fresh++] = levels_[i - 1].frame;
        }
        break;
      }
      pass(fil::Mark::stack_of_other_frames);
      limit = found.parted;
    }
    if (!python.is_transparent(frame) && tree.is_boundary(python.code(frame))) {
      break;
    }
    if (fails(Failpoint::stack_depth) || (fresh == capacity_ && !grow())) [[unlikely]] {
      tree.degrade(segment::Degradation::stacks_truncated);
      frame = nullptr;
      break;
    }
    fresh_[fresh++] = frame;
    frame = python.previous(frame);
  }

  if (!joined) {
    pass(fil::Mark::stack_walked_whole);
    same = 0;
    mark_count_ = 0;
    compared_ = 0;
    base_frame_ = frame;
    base_code_ = frame != nullptr ? python.code(frame) : nullptr;
  }
  while (same + fresh > capacity_ && grow()) {
  }
  if (same + fresh > capacity_) [[unlikely]] {
    // Too deep to cache: leave out the innermost levels rather than the walk.
    tree.degrade(segment::Degradation::stacks_truncated);
    const std::size_t excess = same + fresh - capacity_;
    for (std::size_t i = 0; i + excess < fresh; ++i) {
      fresh_[i] = fresh_[i + excess];
    }
    fresh -= excess;
  }

  SiteId site = same == 0 ? SiteId::root : sites_[same - 1];
  for (std::size_t i = fresh; i > 0; --i, ++same) {
    const std::byte* entered = fresh_[i - 1];
    const std::byte* instruction = python.instruction(entered);
    site = site_at(guard, tree, python, site, entered, instruction);
    levels_[same] = Level{entered, instruction};
    sites_[same] = site;
    level_by_frame_[level_slot(entered)] = static_cast<std::uint32_t>(same);
    pass(fil::Mark::level_entered);
  }
  depth_ = same;
  if (!joined) {
    steady_ = depth_ == 0 ? 0 : depth_ - 1;
  }
  if (compared_ > worth_a_canary_in_all) [[unlikely]] {
    mark_steady_level(python, gil);
  }
  return site;
}

}  // namespace fil::python
