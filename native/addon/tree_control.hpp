// The watching side of a process tree: makes its control file, tells the joint peak, and takes what a killed process
// has left claimed.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "../shared/tree.hpp"

namespace fil::addon {

class TreeControl {
 public:
  /// Makes the control file in a directory. Throws std::system_error with the reason, as where there is no room.
  TreeControl(const std::string& directory, bool exact);
  ~TreeControl();
  TreeControl(const TreeControl&) = delete;
  TreeControl& operator=(const TreeControl&) = delete;

  const tree::Control& control() const { return *control_; }
  /// Its place is free again.
  void forget_young(std::uint32_t place) { control_->young[place].pid.store(0, std::memory_order_release); }

  /// What counts of the shared memory that any of them has mapped.
  std::int64_t shared_bytes() const;

  /// Takes effect for sessions that begin from now on.
  void set_exact(bool exact);

  /// A session of the members alone begins, without a process at the top. Returns its number.
  std::uint32_t begin();

  /// No session is on from now on: whatever outlives it goes on uncounted.
  void stop();

  /// A member is dead without having left: gives back what it had claimed. `others` are all other members.
  void reap(tree::Member& member, std::span<tree::Member* const> others);

 private:
  tree::Control* control_;
  std::uint32_t sessions_ = 0;
};

}  // namespace fil::addon
