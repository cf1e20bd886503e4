// A snapshot in N-API's terms, as index.d.ts promises it.
#pragma once

#include <napi.h>

#include "segment_reader.hpp"

namespace fil::addon {

/// @param joint_peak as of SegmentReader::snapshot().
Napi::Object snapshot_js(Napi::Env env, const SegmentReader& reader, std::int64_t joint_peak);

}  // namespace fil::addon
