// What Python calls of api.cpp and we call ourselves.
#pragma once

#include <cstdint>

/// A frame as the tracker reads it, for the self-test.
struct FilFrame {
  const void* code;
  const void* filename;
  const void* qualified_name;
  const void* locals;
  std::int32_t last_instruction;
  std::int32_t first_line;
  std::uint32_t flags;
};

/// See api.cpp.
extern "C" __attribute__((visibility("default"))) std::int32_t fil_walk(FilFrame* frames, std::int32_t capacity);
