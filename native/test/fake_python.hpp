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

/// A generator or coroutine: its frame is its own and lives on while it is suspended. Its memory is used again by the
/// next one, as that of objects is.
class FakeGenerator {
 public:
  explicit FakeGenerator(const FakeCode& made_of) : code(&made_of) {}
  const FakeCode* code;
  alignas(16) std::byte frame[96] = {};
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

  explicit FakeThread(const void* interpreter, std::size_t most_frames = 512) : places_(most_frames * frame_bytes) {
    set(state_, layout_.interpreter, interpreter);
    point_to_leaf();
  }
  FakeThread(const FakeThread&) = delete;
  FakeThread& operator=(const FakeThread&) = delete;

  void call(const FakeCode& code, std::int32_t line) {
    std::byte* frame = &places_.at(stack_.size() * frame_bytes);
    set(frame, layout_.locals, static_cast<const void*>(nullptr));
    enter(frame, code, line, 0);
  }
  /// As of send(): the generator runs, called by the innermost frame, until return_from_call().
  void resume(FakeGenerator& generator, std::int32_t line) { enter(generator.frame, *generator.code, line, 1); }
  void move_to(std::int32_t line) {
    stack_.back().line = line;
    set(frames_.back(), layout_.instruction, static_cast<const void*>(stack_.back().code->instruction(line)));
  }
  void return_from_call() {
    stack_.pop_back();
    frames_.pop_back();
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
  void enter(std::byte* frame, const FakeCode& code, std::int32_t line, std::uint8_t owner) {
    set(frame, layout_.code, static_cast<const void*>(code.address()));
    set(frame, layout_.previous, static_cast<const void*>(leaf()));
    set(frame, layout_.owner, owner);
    stack_.push_back(Call{&code, line});
    frames_.push_back(frame);
    move_to(line);
    point_to_leaf();
  }
  const std::byte* leaf() const { return frames_.empty() ? nullptr : frames_.back(); }
  void point_to_leaf() { set(state_, layout_.current_frame, static_cast<const void*>(leaf())); }

  alignas(16) std::byte state_[256] = {};
  std::vector<std::byte> places_;
  /// Of each level of the stack.
  std::vector<std::byte*> frames_;
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
