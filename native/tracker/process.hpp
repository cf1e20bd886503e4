// What the process was told at its start.
#pragma once

namespace fil {

/// Taken out of the environment; empty if it was not set.
struct Setting {
  /// A socket's path has at most 108 bytes, a key 64.
  char text[256];
};

extern Setting control_endpoint;
extern Setting control_key;

}  // namespace fil
