#include "memory_watch.hpp"

#include "memory/watcher.hpp"

namespace fil::addon {
namespace {

/// Bytes as a number; null where there is no limit.
Napi::Value bytes_or_null(Napi::Env env, std::int64_t bytes) {
  return bytes == INT64_MAX ? env.Null() : Napi::Number::New(env, static_cast<double>(bytes));
}

const char* name_of(memory::Rule rule) {
  switch (rule) {
    case memory::Rule::available:
      return "available";
    case memory::Rule::swap:
      return "swap";
    case memory::Rule::pressure:
      return "pressure";
    case memory::Rule::budget:
      return "budget";
  }
  return "available";
}

const char* name_of(memory::LevelKind kind) {
  switch (kind) {
    case memory::LevelKind::host:
      return "host";
    case memory::LevelKind::cgroup:
      return "cgroup";
    case memory::LevelKind::chosen:
      return "chosen";
  }
  return "host";
}

const char* name_of(memory::EventKind kind) {
  switch (kind) {
    case memory::EventKind::interrupt_requested:
      return "interrupt-requested";
    case memory::EventKind::killed_program:
      return "killed-program";
    case memory::EventKind::killed_subprocess:
      return "killed-subprocess";
    case memory::EventKind::not_the_cause:
      return "not-the-cause";
  }
  return "not-the-cause";
}

Napi::Object object_of(Napi::Env env, const memory::Figures& figures) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("rule", name_of(figures.rule));
  result.Set("level", name_of(figures.kind));
  result.Set("group", figures.where.empty() ? env.Null() : Napi::Value(Napi::String::New(env, figures.where)));
  result.Set("limitBytes", bytes_or_null(env, figures.limit_bytes));
  result.Set("availableBytes", bytes_or_null(env, figures.available_bytes));
  result.Set("headroomBytes", static_cast<double>(figures.headroom_bytes));
  result.Set("trackedBytes", static_cast<double>(figures.tracked_bytes));
  result.Set("residentBytes", static_cast<double>(figures.resident_bytes));
  result.Set("swappedBytes", static_cast<double>(figures.swapped_bytes));
  return result;
}

std::int64_t bytes_option(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  return value.IsNumber() ? value.As<Napi::Number>().Int64Value() : 0;
}

std::string text_option(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string{};
}

class MemoryWatch : public Napi::ObjectWrap<MemoryWatch> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "MemoryWatch",
        {InstanceMethod<&MemoryWatch::figures>("figures"),
         InstanceMethod<&MemoryWatch::fresh_oom_kills>("freshOomKills"),
         InstanceMethod<&MemoryWatch::wake_ups>("wakeUps"), InstanceMethod<&MemoryWatch::set_action>("setAction"),
         InstanceMethod<&MemoryWatch::stop>("stop")});
  }

  explicit MemoryWatch(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~MemoryWatch() override { end(); }

  void start(Napi::Env env, std::shared_ptr<const SegmentReader> segment, const Napi::Object& options,
             const Napi::Function& on_event) {
    segment_ = std::move(segment);
    memory::WatchOptions watched;
    watched.pid = static_cast<pid_t>(bytes_option(options, "pid"));
    watched.root = text_option(options, "root");
    watched.headroom_bytes = bytes_option(options, "headroomBytes");
    watched.limit_bytes = bytes_option(options, "limitBytes");
    watched.acts = options.Get("acts").ToBoolean();
    watched.guards = options.Get("guards").ToBoolean();
    // Events are few; the queue is unlimited. Does not keep Node running.
    call_ = Napi::ThreadSafeFunction::New(env, on_event, "fil memory watch", 0, 1);
    call_.Unref(env);
    watcher_ = std::make_unique<memory::Watcher>(segment_->view(), watched, [this](const memory::Event& event) {
      call_.NonBlockingCall(new memory::Event(event), [](Napi::Env in, Napi::Function callback, memory::Event* data) {
        const std::unique_ptr<memory::Event> told(data);
        Napi::Object object = Napi::Object::New(in);
        object.Set("kind", name_of(told->kind));
        object.Set("figures", object_of(in, told->figures));
        object.Set("subject", static_cast<double>(told->subject));
        object.Set("command", told->command);
        callback.Call({object});
      });
    });
  }

 private:
  const memory::Watcher& watcher(Napi::Env env) const {
    if (watcher_ == nullptr) {
      throw Napi::Error::New(env, "This watch was stopped.");
    }
    return *watcher_;
  }

  Napi::Value figures(const Napi::CallbackInfo& info) { return object_of(info.Env(), watcher(info.Env()).latest()); }
  Napi::Value fresh_oom_kills(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(watcher(info.Env()).fresh_oom_kills()));
  }
  Napi::Value wake_ups(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(watcher(info.Env()).wake_ups()));
  }
  Napi::Value set_action(const Napi::CallbackInfo& info) {
    watcher(info.Env());
    watcher_->set_action(info[0].ToNumber().Int64Value(), info[1].ToBoolean());
    return info.Env().Undefined();
  }
  Napi::Value stop(const Napi::CallbackInfo& info) {
    end();
    return info.Env().Undefined();
  }

  void end() {
    if (watcher_ != nullptr) {
      watcher_.reset();
      call_.Release();
    }
  }

  std::shared_ptr<const SegmentReader> segment_;
  Napi::ThreadSafeFunction call_;
  std::unique_ptr<memory::Watcher> watcher_;
};

/// The class, for new_memory_watch(); per thread of Node that loads the addon.
struct Classes {
  Napi::FunctionReference memory_watch;
};

/// `readMemory` of index.d.ts.
Napi::Value read_memory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  memory::AvailableMemory available(info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : std::string{},
                                    static_cast<pid_t>(info[0].ToNumber().Int32Value()));
  const memory::Reading reading = available.read();
  memory::Figures figures;
  figures.kind = reading.kind;
  figures.where = reading.where;
  figures.limit_bytes = reading.limit_bytes;
  figures.available_bytes = reading.available_bytes;
  figures.headroom_bytes = memory::default_headroom(reading.limit_bytes);
  return object_of(env, figures);
}

}  // namespace

void define_memory_watch(Napi::Env env, Napi::Object exports) {
  auto* classes = new Classes{Napi::Persistent(MemoryWatch::define(env))};
  env.SetInstanceData<Classes>(classes);
  exports.Set("readMemory", Napi::Function::New(env, read_memory, "readMemory"));
}

Napi::Value last_reading(Napi::Env env, const SegmentReader& segment) {
  const segment::LastReading& last = segment.view().last_reading();
  if (last.at_nanoseconds.load(std::memory_order_acquire) == 0) {  // pairs with Watcher::note
    return env.Null();
  }
  memory::Figures figures;
  figures.kind = static_cast<memory::LevelKind>(last.level.load(std::memory_order_relaxed));
  figures.limit_bytes = last.limit_bytes.load(std::memory_order_relaxed);
  figures.available_bytes = last.available_bytes.load(std::memory_order_relaxed);
  figures.headroom_bytes = last.headroom_bytes.load(std::memory_order_relaxed);
  figures.tracked_bytes = segment.header().current_bytes.load(std::memory_order_relaxed);
  figures.resident_bytes = last.resident_bytes.load(std::memory_order_relaxed);
  figures.swapped_bytes = last.swapped_bytes.load(std::memory_order_relaxed);
  return object_of(env, figures);
}

Napi::Value new_memory_watch(const Napi::CallbackInfo& info, std::shared_ptr<const SegmentReader> segment) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject() || !info[1].IsFunction()) {
    throw Napi::TypeError::New(env, "watchMemory takes options and a function.");
  }
  Napi::Object watch = env.GetInstanceData<Classes>()->memory_watch.New({});
  MemoryWatch::Unwrap(watch)->start(env, std::move(segment), info[0].As<Napi::Object>(), info[1].As<Napi::Function>());
  return watch;
}

}  // namespace fil::addon
