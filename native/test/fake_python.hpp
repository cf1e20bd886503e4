// As much of CPython 3.13 as the tracker looks at: what it finds by name, and frames where it reads them. Tests move
// the frames themselves, so they know every call stack.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "../tracker/python/layout.hpp"

namespace fil::test {

/// A str of ASCII characters.
struct FakeString {
  std::string text;
};

/// A code object; its line is the instruction's offset / 8 + 1.
class FakeCode {
 public:
  explicit FakeCode(const std::string& name) : filename_{name + ".py"}, name_{name} {
    set(layout_.filename, static_cast<const void*>(&filename_));
    set(layout_.qualified_name, static_cast<const void*>(&name_));
    set(layout_.flags, std::uint32_t{1});
    set(layout_.first_line, std::int32_t{1});
  }
  FakeCode(const FakeCode&) = delete;
  FakeCode& operator=(const FakeCode&) = delete;

  const std::byte* address() const { return memory_; }
  const std::byte* instruction(std::int32_t line) const {
    return memory_ + layout_.instructions + static_cast<std::size_t>(line - 1) * 8;
  }
  const std::string& name() const { return name_.text; }

 private:
  template <class Value>
  void set(std::size_t offset, Value value) {
    *reinterpret_cast<Value*>(memory_ + offset) = value;
  }

  static constexpr python::Layout layout_ = python::layout_3_13;
  FakeString filename_;
  FakeString name_;
  alignas(16) std::byte memory_[1024] = {};
};

/// A thread's state and its frames, of which each stands in the same place whenever the stack is as deep: frames are
/// reused at once, as CPython's are.
class FakeThread {
 public:
  struct Call {
    const FakeCode* code;
    std::int32_t line;
    auto operator<=>(const Call&) const = default;
  };
  using Stack = std::vector<Call>;

  explicit FakeThread(const void* interpreter, std::size_t most_frames = 512) : frames_(most_frames * frame_bytes) {
    set(state_, layout_.interpreter, interpreter);
    point_to_leaf();
  }
  FakeThread(const FakeThread&) = delete;
  FakeThread& operator=(const FakeThread&) = delete;

  void call(const FakeCode& code, std::int32_t line) {
    std::byte* frame = frame_at(stack_.size());
    set(frame, layout_.code, static_cast<const void*>(code.address()));
    set(frame, layout_.previous, static_cast<const void*>(stack_.empty() ? nullptr : frame_at(stack_.size() - 1)));
    set(frame, layout_.owner, std::uint8_t{0});
    set(frame, layout_.locals, static_cast<const void*>(nullptr));
    stack_.push_back(Call{&code, line});
    move_to(line);
    point_to_leaf();
  }
  void move_to(std::int32_t line) {
    stack_.back().line = line;
    set(frame_at(stack_.size() - 1), layout_.instruction,
        static_cast<const void*>(stack_.back().code->instruction(line)));
  }
  void return_from_call() {
    stack_.pop_back();
    point_to_leaf();
  }

  std::byte* state() { return state_; }
  const Stack& stack() const { return stack_; }

 private:
  static constexpr python::Layout layout_ = python::layout_3_13;
  static constexpr std::size_t frame_bytes = 96;

  template <class Value>
  static void set(std::byte* base, std::size_t offset, Value value) {
    *reinterpret_cast<Value*>(base + offset) = value;
  }
  std::byte* frame_at(std::size_t depth) { return &frames_.at(depth * frame_bytes); }
  void point_to_leaf() {
    set(state_, layout_.current_frame,
        static_cast<const void*>(stack_.empty() ? nullptr : frame_at(stack_.size() - 1)));
  }

  alignas(16) std::byte state_[256] = {};
  std::vector<std::byte> frames_;
  Stack stack_;
};

/// The interpreter's lock, and whose thread state the calling thread has.
class FakeInterpreter {
 public:
  static const void* main();
  static std::mutex& gil();
  /// The calling thread is this thread of Python; null for none.
  static void enter(FakeThread* thread);
  static FakeThread* this_thread();
  /// Whether the calling thread has the GIL; its owner says so.
  static void set_holds_gil(bool holds);
};

}  // namespace fil::test
