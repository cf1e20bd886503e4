// A job that is profiled without a parent of ours: FIL_PROFILE=sample. It makes its segment itself and starts a
// recorder beside it (recorder.hpp); whatever fails, it runs as it would without us.
#pragma once

#include <cstdint>

namespace fil::production {

/// Whether the environment asks for it.
bool is_asked_for();

/// Before main(): makes the segment, starts the recorder, and leaves the environment as Tracker::attach() expects it.
/// Null if all is well, else a sentence that says what is missing.
const char* prepare();

/// After Tracker::attach(): from now on SIGUSR2 and the end of the process reach the recorder.
void begin();

/// Whether this process was prepared; its mean distance of sampled bytes if so, else 0.
std::uint64_t sampling_mean_bytes();

/// Whether programs that this one starts are to be profiled too: then the environment stays as it is.
bool follows_subprocesses();

/// Of the segment's tables: with 131,072 call sites the tracker's own memory stays below 20 MiB whatever a job does.
inline constexpr std::uint32_t least_scale = 3;

}  // namespace fil::production
