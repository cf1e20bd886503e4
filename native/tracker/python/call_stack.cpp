#include "call_stack.hpp"

namespace fil::python {
namespace {

constexpr std::size_t not_found = ~std::size_t{0};

/// Hides where a pointer came from. Comparing a loaded pointer with a cached one tells the compiler that they are
/// equal; if it then goes on from the loaded one, each level waits for the load before it. From the cached one the
/// levels overlap.
inline const std::byte* independent(const std::byte* pointer) {
  asm("" : "+r"(pointer));
  return pointer;
}

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
std::size_t CallStack::verified_levels(const Interpreter& python, std::size_t joined) const {
  std::size_t same = joined + 1;
  const Level* level = &levels_[joined];
  const std::byte* frame = level->frame;
  for (; level != levels_; --level) {
    if (python.instruction(frame) != level->instruction) [[unlikely]] {
      same = static_cast<std::size_t>(level - levels_);
    }
    if (python.previous(frame) != level[-1].frame) [[unlikely]] {
      return not_found;
    }
    frame = independent(level[-1].frame);
  }
  if (python.instruction(frame) != level->instruction) {
    same = 0;
  }
  const bool same_base =
      python.previous(frame) == base_frame_ && (base_frame_ == nullptr || python.code(base_frame_) == base_code_);
  return same_base ? same : not_found;
}

/// The site of a frame that stands at `instruction`, called from `caller`.
inline SiteId CallStack::enter(const ExclusiveGuard& guard, CallTree& tree, const Interpreter& python, SiteId caller,
                               const std::byte* frame, const std::byte* instruction) {
  if (python.is_transparent(frame)) {
    return caller;
  }
  const std::size_t place = (reinterpret_cast<std::uintptr_t>(instruction) >> 1) + index_of(caller) * std::size_t{31};
  Recent& recent = recent_[place & (recent_capacity - 1)];
  if (recent.instruction != instruction || recent.caller != caller) {
    const std::byte* code = python.code(frame);
    recent = Recent{instruction, caller, tree.site(guard, caller, code, python.offset_in_code(code, instruction))};
  }
  return recent.site;
}

SiteId CallStack::site(const ExclusiveGuard& guard, CallTree& tree, const Interpreter& python, const std::byte* thread,
                       std::uint64_t epoch) {
  if (epoch != epoch_) [[unlikely]] {
    epoch_ = epoch;
    depth_ = 0;
    for (Recent& recent : recent_) {
      recent.instruction = nullptr;
    }
  }

  // Walk outwards from the leaf until a frame of the cached walk, or the base.
  std::size_t fresh = 0;
  std::size_t same = 0;
  std::size_t window = depth_;
  const std::byte* frame = python.current_frame(thread);
  bool joined = false;
  while (frame != nullptr) {
    if (window != 0) {
      const std::size_t level = find_level(frame, window);
      if (level != not_found) {
        same = verified_levels(python, level);
        if (same != not_found) {
          joined = true;
          // Levels whose instruction moved on are entered again, from their cached frames.
          for (std::size_t i = level + 1; i > same; --i) {
            fresh_[fresh++] = levels_[i - 1].frame;
            if (fresh == max_depth) {
              break;
            }
          }
          break;
        }
        window = 0;
      }
    }
    if (!python.is_transparent(frame) && tree.is_boundary(python.code(frame))) {
      break;
    }
    if (fresh == max_depth) [[unlikely]] {
      tree.degrade(segment::Degradation::stacks_truncated);
      frame = nullptr;
      break;
    }
    fresh_[fresh++] = frame;
    frame = python.previous(frame);
  }

  if (!joined) {
    same = 0;
    base_frame_ = frame;
    base_code_ = frame != nullptr ? python.code(frame) : nullptr;
  }
  if (same + fresh > max_depth) [[unlikely]] {
    // Too deep to cache: leave out the innermost levels rather than the walk.
    tree.degrade(segment::Degradation::stacks_truncated);
    const std::size_t excess = same + fresh - max_depth;
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
