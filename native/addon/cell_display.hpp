// A display of the kernel's own in the output of a running cell, and the rules by which it comes, makes room and goes
// without a trace in the notebook. Without ZeroMQ and Node: what passes is told to it, and it says what to send.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fil::addon {

using Frames = std::vector<std::string>;

/// The output of one cell, told from what its process publishes.
class CellOutput {
 public:
  /// What a message does to it.
  enum class Event : std::uint8_t { none, output, clear, clear_before_next };

  explicit CellOutput(std::string request_id) : request_id_(std::move(request_id)) {}

  /// Takes notice of a message: topic, delimiter, signature, header, parent header, metadata, content.
  Event observe(std::span<const std::string_view> frames);

  /// Whether the cell's outputs go into one of ipywidgets' Output widgets; those are no concern of the cell's own.
  bool is_caught() const;
  /// Whether the next output empties the cell first. A display of ours would do so too early.
  bool is_clear_pending() const { return is_clear_pending_; }
  /// Whether the last line of text is not ended. What comes in between would tear a progress bar apart.
  bool is_inside_line() const { return is_inside_line_; }

 private:
  void observe_comm(std::string_view content);

  std::string request_id_;
  bool is_clear_pending_ = false;
  bool is_inside_line_ = false;
  /// By the ids of their comms, the requests whose output widgets catch.
  std::map<std::string, std::string, std::less<>> caught_by_;
};

/// How long to wait.
struct CellDisplayTimes {
  /// After an output made the display go.
  std::chrono::milliseconds after_output;
  /// After the cell emptied its output: one that does so over and over draws something of its own.
  std::chrono::milliseconds after_clear;
};

class CellDisplay {
 public:
  using Clock = std::chrono::steady_clock;

  CellDisplay(std::string request_id, CellDisplayTimes times) : output_(std::move(request_id)), times_(times) {}

  /// A display as messages. `clearing` empties the cell when something else comes; `emptying` makes the display empty.
  struct Messages {
    std::uint32_t serial;
    Frames display;
    Frames clearing;
    Frames emptying;
  };

  /// What to send before a message of the process; nothing to send is none.
  std::optional<Frames> before(std::span<const std::string_view> frames, Clock::time_point now);

  /// Shows it now, if it can be. Returns what to send.
  std::optional<Frames> show(Messages messages, Clock::time_point now);

  /// Takes it away for good. Returns what to send.
  std::optional<Frames> leave();

  /// Serial of what is shown; 0 if nothing is.
  std::uint32_t shown() const { return shown_ ? shown_->serial : 0; }

 private:
  CellOutput output_;
  CellDisplayTimes times_;
  std::optional<Messages> shown_;
  /// Whether it is the only output of the cell.
  bool is_alone_ = false;
  bool has_output_ = false;
  Clock::time_point not_before_{};
};

}  // namespace fil::addon
