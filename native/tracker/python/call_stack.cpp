#include "call_stack.hpp"

#include <string.h>

#include "../system.hpp"

namespace fil::python {
namespace {

constexpr std::size_t not_found = ~std::size_t{0};

}  // namespace

/// Index of the cached level with this frame among the `join_window` levels below `below`, or not_found.
std::size_t CallStack::find_level(const std::byte* frame, std::size_t below) const {
  const std::size_t stop = below > join_window ? below - join_window : 0;
  for (std::size_t i = below; i > stop; --i) {
    if (levels_[i - 1].frame == frame) {
      return i - 1;
    }
  }
  return not_found;
}

/// Checks from level `joined`, which is live, outwards that the cached levels are the current stack. Returns how many
/// of them, from the outermost, still stand at the same instruction; `not_found` if the stack has other frames. Each
/// level is read only after the one inside it was found to lead to it, so no dead frame is touched. Instructions are
/// compared by address: while no known code object has died (epoch_), an address stands for one instruction of one code
/// object.
std::size_t CallStack::verified_levels(const Interpreter& python, std::size_t joined, Gil gil) {
  while (mark_count_ != 0 && marks_[mark_count_ - 1].level > joined) {
    --mark_count_;
  }
  std::size_t same = joined + 1;
  const Level* level = &levels_[joined];
  const std::byte* frame = level->frame;
  for (;;) {
    const Level* stop = mark_count_ != 0 ? &levels_[marks_[mark_count_ - 1].level] : levels_;
    for (; level != stop; --level) {
      if (python.instruction(frame) != level->instruction) [[unlikely]] {
        same = static_cast<std::size_t>(level - levels_);
      }
      if (python.previous(frame) != level[-1].frame) [[unlikely]] {
        return not_found;
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
    if (python.previous(frame) != level[-1].frame) {
      return not_found;
    }
    --level;
    frame = level->frame;
  }
  if (level == levels_ && !base_unchanged(python, frame)) {
    return not_found;
  }
  if (gil == Gil::held && static_cast<std::size_t>(&levels_[joined] - level) > worth_a_canary) [[unlikely]] {
    mark_level(python, joined - canary_distance);
  }
  return same;
}

/// Plants a canary at `level` or, where the frame can't bear one, a few levels further out.
void CallStack::mark_level(const Interpreter& python, std::size_t level) {
  const std::size_t last = mark_count_ != 0 ? marks_[mark_count_ - 1].level : 0;
  for (std::size_t tries = 0; tries < canary_distance && level > last && mark_count_ < most_marks(capacity_);
       ++tries, --level) {
    const Canary canary = plant_canary(python, levels_[level].frame);
    if (canary.object != nullptr) {
      marks_[mark_count_++] = Mark{level, canary};
      pass(fil::Mark::canary_planted);
      return;
    }
  }
}

/// Makes room for four times as many levels; false if that is too many, or there is no memory for them.
bool CallStack::grow() {
  const std::size_t larger = capacity_ == 0 ? first_depth : 4 * capacity_;
  auto* memory = larger <= max_depth ? static_cast<std::byte*>(system::reserve(bytes_for(larger))) : nullptr;
  if (memory == nullptr) {
    return false;
  }
  auto* levels = reinterpret_cast<Level*>(memory);
  auto* fresh = reinterpret_cast<const std::byte**>(levels + larger);
  auto* marks = reinterpret_cast<Mark*>(fresh + larger);
  auto* sites = reinterpret_cast<SiteId*>(marks + most_marks(larger));
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
  capacity_ = larger;
  return true;
}

void CallStack::release() {
  if (capacity_ != 0) {
    system::unreserve(levels_, bytes_for(capacity_));
    capacity_ = 0;
  }
  forget();
}

SiteId CallStack::enter(const ExclusiveGuard& guard, CallTree& tree, const Interpreter& python, SiteId caller,
                        const std::byte* frame, const std::byte* instruction) {
  if (python.is_transparent(frame)) {
    return caller;
  }
  Recent& recent = recent_at(caller, instruction);
  if (recent.instruction != instruction || recent.caller != caller) {
    const std::byte* code = python.code(frame);
    // Boundary code can stand where other code stood: what it allocates itself, it allocates outside of the stacks.
    const SiteId site = tree.is_boundary(code)
                            ? SiteId::root
                            : tree.site(guard, caller, code, python.offset_in_code(code, instruction));
    recent = Recent{instruction, caller, site};
  }
  return recent.site;
}

SiteId CallStack::walk(const ExclusiveGuard& guard, Gil gil, CallTree& tree, const Interpreter& python,
                       const std::byte* leaf, std::uint64_t epoch) {
  stay_ = 0;
  if (epoch != epoch_) [[unlikely]] {
    pass(fil::Mark::stack_forgotten_as_code_died);
    epoch_ = epoch;
    depth_ = 0;
    mark_count_ = 0;
    for (Recent& recent : recent_) {
      recent.instruction = nullptr;
    }
  }

  if (capacity_ == 0 && !grow()) [[unlikely]] {
    tree.degrade(segment::Degradation::stacks_missing);
    return SiteId::root;
  }

  // Walk outwards from the leaf until a frame of the cached walk, or the base.
  std::size_t fresh = 0;
  std::size_t same = 0;
  std::size_t window = depth_;
  const std::byte* frame = leaf;
  bool joined = false;
  while (frame != nullptr) {
    if (window != 0) {
      const std::size_t level = find_level(frame, window);
      if (level != not_found) {
        same = verified_levels(python, level, gil);
        if (same != not_found) {
          joined = true;
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
        window = 0;
      }
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
    site = enter(guard, tree, python, site, entered, instruction);
    levels_[same] = Level{entered, instruction};
    sites_[same] = site;
  }
  depth_ = same;
  return site;
}

}  // namespace fil::python
