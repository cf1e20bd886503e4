// This process's end of its process tree: the control page that all share, and the making of a segment in the tree's
// directory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "../shared/tree.hpp"

namespace fil {

/// The control page of the tree is mapped over it; a process without a tree has it to itself. In place, so that the
/// hooks read the session by one load.
struct alignas(4096) ControlPage {
  tree::Control control;
};
inline constinit ControlPage control_page{};

class TreeLink {
 public:
  /// Maps the control page. False, and nothing has changed, if the directory is not there, not this user's, or of
  /// another version of Fil.
  bool attach(const char* directory);
  bool attached() const { return attached_; }
  /// Also of a tree that is left for a while: what the process starts meanwhile is a member. Of a process that stands
  /// by environment::standing_by, so that what it starts does too.
  const char* directory() const { return directory_; }
  /// From now on the process is in no tree, and ready to be attached to one.
  void stand_by();

  /// Makes a segment for this process. Its base is null if there is no room for it: the tree is told.
  /// @param parent whose command it has, having just been forked from it; null to ask the system.
  segment::View open_segment(tree::Origin origin, bool has_stacks, const tree::Member* parent);
  /// The same in two steps: a segment that nobody finds yet, and that it is to be found.
  segment::View make_segment();
  static void publish(const segment::View& view);

  /// A place for this process, which is too young for a segment. Null if there is none.
  static tree::Young* enroll_young(std::uint32_t session);
  static void leave_young(tree::Young& place, std::int64_t peak_bytes);

  /// Leaves the tree for a while: its sessions are unseen here, and the ones that are begun here are unseen there.
  void suspend();
  /// Takes the way back, if there is one.
  void resume();

 private:
  segment::View refused();

  char directory_[tree::longest_directory] = {};
  bool attached_ = false;
};

/// What every segment of this process begins with, but for who it is.
void initialize_member(const segment::View& view);

/// Fills in who this process is; see TreeLink::open_segment.
void introduce(tree::Member& member, tree::Origin origin, bool has_stacks, const tree::Member* parent = nullptr);

/// Gives back what the process has claimed, as it ends or becomes another program. Safe at any moment, without locks.
void leave_tree(tree::Member& member);

}  // namespace fil
