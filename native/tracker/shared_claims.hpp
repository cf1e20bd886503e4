// What this process has mapped of the shared memory of its tree (../shared/tree_shared.hpp).
#pragma once

#include <cstdint>

#include "../shared/tree.hpp"

namespace fil {

class SharedClaims {
 public:
  /// All that it has mapped, which is in no claim of its own.
  std::int64_t bytes() const { return bytes_; }

  /// The process counts `delta` bytes more of an object, in a session that it is part of. False, and nothing has
  /// changed, if the tree has no place for it, or had none when it was mapped: the process is to claim them. In
  /// `joint_delta` what is to be added to the joint bytes.
  bool change(tree::Control& control, tree::Member& member, std::uint64_t object, std::int64_t delta,
              std::int64_t& joint_delta);

  /// Nothing of it is shared any more; what there was stands in no table.
  void clear(tree::Member& member);

 private:
  std::int64_t bytes_ = 0;
  /// By place in Control::shared; 0 where it has nothing mapped.
  std::int64_t held_[tree::most_shared] = {};
};

}  // namespace fil
