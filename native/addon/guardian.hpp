// Removes a directory when this process has ended, however it did: a shell that reads a pipe from us, in a session of
// its own and no child of ours, so that nobody who looks at our children or signals our group meets it.
#pragma once

#include <string>

namespace fil::addon {

class Guardian {
 public:
  /// Throws std::system_error if there is no process or pipe to be had.
  explicit Guardian(const std::string& directory);
  ~Guardian();
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  /// The directory was removed, or is to stay.
  void dismiss();

 private:
  int pipe_ = -1;
};

}  // namespace fil::addon
