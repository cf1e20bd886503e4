// What a process hands on to the programs that it executes, by their environment: the tracker's library and the tree's
// directory. Only to programs that can load it without a word: to another the dynamic linker would say so on stderr,
// or not start it at all.
#pragma once

#include <limits.h>

#include <cstddef>

namespace fil {

/// Whether a name without a slash is looked for on PATH.
enum class Search { none, path };

/// Takes our library out of LD_PRELOAD, and keeps its path; what the user preloads stays as it was. Before main().
void leave_preload_list();

/// "/proc/self/fd/N".
void name_of_descriptor(int descriptor, char (&to)[32]);

class HandedOn {
 public:
  /// How many entries an environment can get.
  static constexpr std::size_t more_entries = 2;
  static std::size_t entries_of(char* const* environment);

  /// The environment for a program: with ours in it, or the one that was given where the program would not load us.
  /// Allocates nothing and writes to its own memory only.
  ///
  /// @param entries room for those of `environment`, `more_entries` and a null.
  char* const* prepare(const char* tree, const char* file, Search search, char* const* environment, char** entries);

  /// Those of what prepare() returned that are ours; none if it returned what was there `before`.
  static std::size_t own_entries(char* const* prepared, char* const* before, const char* (&to)[more_entries]);

 private:
  char preload_[2 * PATH_MAX];
  char tree_[PATH_MAX];
};

}  // namespace fil
