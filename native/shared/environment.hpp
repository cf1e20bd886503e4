// Names by which a process is told about its segment. The addon exports them, so that no other language repeats them.
#pragma once

namespace fil::environment {

/// Number of the inherited descriptor of the segment's memfd. The tracker closes it once it is mapped.
inline constexpr char segment_descriptor[] = "FIL_SEGMENT_DESCRIPTOR";
/// Pid of the process that the tracked one must not outlive.
inline constexpr char parent_pid[] = "FIL_PARENT_PID";
/// Set if tracking begins by itself with the program's own code, and not when Python asks for it.
inline constexpr char track_program[] = "FIL_TRACK_PROGRAM";
/// Set if sampled sessions are to be expected.
inline constexpr char sampling[] = "FIL_SAMPLING";
/// A number from which all samples follow, for tests of what they estimate; of programs with one thread they can be
/// repeated.
inline constexpr char sampling_seed[] = "FIL_SAMPLING_SEED";
/// Address and key of the control endpoint, which filprofiler asks the tracker for.
inline constexpr char control_endpoint[] = "FIL_CONTROL_ENDPOINT";
inline constexpr char control_key[] = "FIL_CONTROL_KEY";
/// Directory of the process tree (tree.hpp), if what the process starts is to be tracked too.
inline constexpr char tree_directory[] = "FIL_TREE";
/// In place of a directory: the process and what it starts are to be ready to join a tree that it is told of later.
inline constexpr char standing_by[] = "standby";
/// What a user sets to have that.
inline constexpr char profile[] = "FIL_PROFILE";
inline constexpr char profile_workers[] = "workers";
/// The dynamic linker's list; the tracker takes itself out of it. What the process executes gets it again, by our
/// interposers, if it is to be tracked too.
inline constexpr char preload[] = "LD_PRELOAD";

}  // namespace fil::environment
