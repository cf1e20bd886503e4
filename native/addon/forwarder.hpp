// Carries messages between a kernel's clients and the process behind it on a thread of its own, verbatim: no frame is
// copied, and JavaScript sees only copies of the few messages that tell which cells run.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "cell_display.hpp"
#include "zmq_api.hpp"

namespace fil::addon {

/// In the order of index.d.ts.
enum class Channel : std::uint8_t { shell, control, stdin_, iopub, heartbeat };
constexpr std::size_t channel_count = 5;

struct ForwarderOptions {
  /// Z85 text of the keys by which clients encrypt; none: they don't.
  std::optional<std::string> curve_public_key;
  std::optional<std::string> curve_secret_key;
  /// Identity of our sockets at the process.
  std::string routing_id;
  /// How long the last messages may take to reach clients after the end.
  std::chrono::milliseconds linger;
  /// How often the process's sockets are looked for.
  std::chrono::milliseconds reconnect_interval;
  /// Ends of the topics of the process's publications that are to be observed.
  std::vector<std::string> observed_topics;
  /// Id of the comm whose messages to the process are observed, and told of at once.
  std::string observed_comm;
};

/// A copy of a message that passed, without its buffers.
struct Observation {
  enum class Kind : std::uint8_t { request, publication, subscription };
  Kind kind;
  Frames frames;
};

class Forwarder {
 public:
  /// `wake` is called on the forwarder's thread when observations wait to be taken. Throws std::runtime_error if ZeroMQ
  /// refuses.
  Forwarder(zmq::Api api, ForwarderOptions options, std::function<void()> wake);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  /// Opens a channel to clients; what they send waits. Returns the address with the port that the system chose. Throws
  /// std::runtime_error with the system's reason.
  std::string bind(Channel channel, const std::string& endpoint);

  /// Connects to the process (heartbeat excepted, which is answered here) and forwards until `close`.
  void start(const std::array<std::string, channel_count>& endpoints);

  /// Publishes a message of the caller's own to clients.
  void publish(Frames frames);

  /// Follows the output of a request's cell from now on, for a display of ours in it.
  void follow_cell(std::string request_id, CellDisplayTimes times);
  /// Shows a display in the followed cell, if it can be when its turn comes.
  void show_in_cell(CellDisplay::Messages messages);
  /// Publishes a message, if the followed cell then shows the display of that serial.
  void update_in_cell(std::uint32_t serial, Frames frames);
  /// Takes the display away and follows no cell any more.
  void leave_cell();
  /// Serial of the display that the followed cell shows; 0 if it shows none.
  std::uint32_t shown_in_cell() const { return shown_in_cell_.load(std::memory_order_relaxed); }

  /// What was observed since the last call, oldest first.
  std::vector<Observation> take();

  /// How long nothing has come from the process.
  std::chrono::nanoseconds quiet_for() const;

  /// Ends the thread and closes the sockets; waits until clients have what was sent, at most for `linger`.
  void close();

 private:
  using Clock = std::chrono::steady_clock;
  /// What the caller orders, in the order in which it does.
  struct Follow {
    CellDisplay cell;
  };
  struct Update {
    std::uint32_t serial;
    Frames frames;
  };
  struct Leave {};
  using Order = std::variant<Frames, Follow, CellDisplay::Messages, Update, Leave>;

  void* open(zmq::SocketType type);
  void set(void* socket, zmq::Option option, int value) const;
  void set(void* socket, zmq::Option option, const std::string& value) const;
  void open_fronts();
  void open_backs();
  void run();
  void wait(bool listening);
  bool receive(void* socket);
  void send(void* socket);
  void drop();
  std::string_view frame(std::size_t index);
  void serve_heartbeat();
  void serve_subscriptions();
  void serve_publications();
  void serve_dialogue(std::size_t dialogue);
  void serve_requests(std::size_t dialogue);
  bool is_welcome();
  bool is_observed_topic();
  void observe(Observation::Kind kind);
  bool is_of_observed_comm(std::size_t delimiter_index);
  void send_outbox();
  void send_own(const Frames& frames);
  void give(Order order);
  void carry_out(Order& order);
  void make_room();

  zmq::Api api_;
  ForwarderOptions options_;
  std::function<void()> wake_;
  void* context_ = nullptr;
  /// Only the thread touches the sockets once it runs.
  std::array<void*, channel_count> fronts_{};
  std::array<void*, channel_count> backs_{};
  void* monitor_ = nullptr;
  /// The message that is under way, reused.
  std::vector<zmq::Message> message_;
  std::vector<zmq::PollItem> items_;
  int wake_descriptor_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_ = false;
  std::atomic<Clock::rep> heard_at_ = 0;
  /// When JavaScript is to be told of what was observed; only the thread's.
  std::optional<Clock::time_point> tell_at_;

  /// Only the thread's.
  std::optional<CellDisplay> cell_;
  std::atomic<std::uint32_t> shown_in_cell_ = 0;

  std::mutex mutex_;
  std::vector<Order> outbox_;
  std::vector<Observation> observations_;
};

}  // namespace fil::addon
