// The watcher as Node sees it.
#pragma once

#include <napi.h>

#include <memory>

#include "segment_reader.hpp"

namespace fil::addon {

/// Defines the class; once, when the addon is loaded.
void define_memory_watch(Napi::Env env, Napi::Object exports);

/// A started MemoryWatch; what index.d.ts says of Segment.watchMemory. Keeps the segment mapped.
Napi::Value new_memory_watch(const Napi::CallbackInfo& info, std::shared_ptr<const SegmentReader> segment);

/// `Segment.lastReading` of index.d.ts.
Napi::Value last_reading(Napi::Env env, const SegmentReader& segment);

}  // namespace fil::addon
