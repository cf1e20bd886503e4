#include "forwarder_edge.hpp"

#include <memory>
#include <stdexcept>

#include "forwarder.hpp"

namespace fil::addon {
namespace {

/// Names of the channels, as in connection files.
constexpr std::array<const char*, channel_count> channel_names = {"shell", "control", "stdin", "iopub", "hb"};

Channel channel_of(const Napi::Value& name) {
  const std::string text = name.ToString().Utf8Value();
  for (std::size_t i = 0; i < channel_count; ++i) {
    if (text == channel_names[i]) {
      return static_cast<Channel>(i);
    }
  }
  throw std::runtime_error("There is no channel called " + text + ".");
}

const char* name_of(Observation::Kind kind) {
  switch (kind) {
    case Observation::Kind::request:
      return "request";
    case Observation::Kind::publication:
      return "publication";
    case Observation::Kind::subscription:
      return "subscription";
  }
  return "";
}

std::optional<std::string> optional_text(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  return value.IsString() ? std::optional(value.As<Napi::String>().Utf8Value()) : std::nullopt;
}

std::chrono::milliseconds duration(const Napi::Object& options, const char* name) {
  return std::chrono::milliseconds(options.Get(name).ToNumber().Int64Value());
}

Frames frames_of(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  Frames frames;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    const auto buffer = array.Get(i).As<Napi::Buffer<char>>();
    frames.emplace_back(buffer.Data(), buffer.Length());
  }
  return frames;
}

class ForwarderObject : public Napi::ObjectWrap<ForwarderObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Forwarder",
        {InstanceMethod<&ForwarderObject::bind>("bind"), InstanceMethod<&ForwarderObject::start>("start"),
         InstanceMethod<&ForwarderObject::publish>("publish"),
         InstanceMethod<&ForwarderObject::follow_cell>("followCell"),
         InstanceMethod<&ForwarderObject::show_in_cell>("showInCell"),
         InstanceMethod<&ForwarderObject::update_in_cell>("updateInCell"),
         InstanceMethod<&ForwarderObject::leave_cell>("leaveCell"),
         InstanceAccessor<&ForwarderObject::shown_in_cell>("shownInCell"),
         InstanceMethod<&ForwarderObject::take>("take"),
         InstanceAccessor<&ForwarderObject::quiet_milliseconds>("quietMilliseconds"),
         InstanceMethod<&ForwarderObject::close>("close")});
  }

  explicit ForwarderObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const Napi::Env env = info.Env();
    const Napi::Object from = info[0].As<Napi::Object>();
    ForwarderOptions options;
    options.curve_public_key = optional_text(from, "curvePublicKey");
    options.curve_secret_key = optional_text(from, "curveSecretKey");
    options.routing_id = from.Get("routingId").ToString().Utf8Value();
    options.linger = duration(from, "lingerMilliseconds");
    options.reconnect_interval = duration(from, "reconnectMilliseconds");
    const Napi::Array topics = from.Get("observedTopics").As<Napi::Array>();
    for (std::uint32_t i = 0; i < topics.Length(); ++i) {
      options.observed_topics.push_back(topics.Get(i).ToString().Utf8Value());
    }
    options.observed_comm = from.Get("observedComm").ToString().Utf8Value();
    wake_ = Napi::ThreadSafeFunction::New(env, info[1].As<Napi::Function>(), "fil-forwarder", 0, 1);
    // What keeps the program going is the process behind it.
    wake_.Unref(env);
    try {
      forwarder_ = std::make_unique<Forwarder>(zmq::load(from.Get("library").ToString().Utf8Value()),
                                               std::move(options), [this] { wake_.NonBlockingCall(); });
    } catch (const std::exception& error) {
      wake_.Release();
      throw Napi::Error::New(env, error.what());
    }
    // However the program ends: the thread must not run while Node is torn down.
    napi_add_env_cleanup_hook(env, end_with_environment, this);
  }

  ~ForwarderObject() override { end(Env()); }

 private:
  template <class Body>
  Napi::Value with_forwarder(Napi::Env env, Body body) {
    if (forwarder_ == nullptr) {
      throw Napi::Error::New(env, "This forwarder was closed.");
    }
    try {
      return body(*forwarder_);
    } catch (const Napi::Error&) {
      throw;
    } catch (const std::exception& error) {
      throw Napi::Error::New(env, error.what());
    }
  }

  Napi::Value bind(const Napi::CallbackInfo& info) {
    return with_forwarder(info.Env(), [&](Forwarder& forwarder) {
      return Napi::String::New(info.Env(), forwarder.bind(channel_of(info[0]), info[1].ToString().Utf8Value()));
    });
  }

  Napi::Value start(const Napi::CallbackInfo& info) {
    return with_forwarder(info.Env(), [&](Forwarder& forwarder) {
      const Napi::Object from = info[0].As<Napi::Object>();
      std::array<std::string, channel_count> endpoints;
      for (std::size_t i = 0; i < channel_count; ++i) {
        endpoints[i] = optional_text(from, channel_names[i]).value_or("");
      }
      forwarder.start(endpoints);
      return info.Env().Undefined();
    });
  }

  Napi::Value publish(const Napi::CallbackInfo& info) {
    return with_forwarder(info.Env(), [&](Forwarder& forwarder) {
      forwarder.publish(frames_of(info[0]));
      return info.Env().Undefined();
    });
  }

  Napi::Value follow_cell(const Napi::CallbackInfo& info) {
    return with_forwarder(info.Env(), [&](Forwarder& forwarder) {
      const Napi::Object times = info[1].As<Napi::Object>();
      forwarder.follow_cell(info[0].ToString().Utf8Value(),
                            {duration(times, "afterOutputMilliseconds"), duration(times, "afterClearMilliseconds")});
      return info.Env().Undefined();
    });
  }

  Napi::Value show_in_cell(const Napi::CallbackInfo& info) {
    return with_forwarder(info.Env(), [&](Forwarder& forwarder) {
      const Napi::Object from = info[0].As<Napi::Object>();
      forwarder.show_in_cell({from.Get("serial").ToNumber().Uint32Value(), frames_of(from.Get("display")),
                              frames_of(from.Get("clearing")), frames_of(from.Get("emptying"))});
      return info.Env().Undefined();
    });
  }

  Napi::Value update_in_cell(const Napi::CallbackInfo& info) {
    return with_forwarder(info.Env(), [&](Forwarder& forwarder) {
      forwarder.update_in_cell(info[0].ToNumber().Uint32Value(), frames_of(info[1]));
      return info.Env().Undefined();
    });
  }

  Napi::Value leave_cell(const Napi::CallbackInfo& info) {
    return with_forwarder(info.Env(), [&](Forwarder& forwarder) {
      forwarder.leave_cell();
      return info.Env().Undefined();
    });
  }

  Napi::Value shown_in_cell(const Napi::CallbackInfo& info) {
    return with_forwarder(
        info.Env(), [&](Forwarder& forwarder) { return Napi::Number::New(info.Env(), forwarder.shown_in_cell()); });
  }

  Napi::Value take(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return with_forwarder(env, [&](Forwarder& forwarder) {
      const std::vector<Observation> observations = forwarder.take();
      Napi::Array result = Napi::Array::New(env, observations.size());
      for (std::uint32_t i = 0; i < observations.size(); ++i) {
        const Observation& observation = observations[i];
        Napi::Array frames = Napi::Array::New(env, observation.frames.size());
        for (std::uint32_t j = 0; j < observation.frames.size(); ++j) {
          const std::string& frame = observation.frames[j];
          frames.Set(j, Napi::Buffer<char>::Copy(env, frame.data(), frame.size()));
        }
        Napi::Object object = Napi::Object::New(env);
        object.Set("kind", name_of(observation.kind));
        object.Set("frames", frames);
        result.Set(i, object);
      }
      return result;
    });
  }

  Napi::Value quiet_milliseconds(const Napi::CallbackInfo& info) {
    return with_forwarder(info.Env(), [&](Forwarder& forwarder) {
      return Napi::Number::New(info.Env(), std::chrono::duration<double, std::milli>(forwarder.quiet_for()).count());
    });
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    end(info.Env());
    return info.Env().Undefined();
  }

  static void end_with_environment(void* self) { static_cast<ForwarderObject*>(self)->forwarder_.reset(); }

  void end(Napi::Env env) {
    if (forwarder_ != nullptr) {
      napi_remove_env_cleanup_hook(env, end_with_environment, this);
      forwarder_.reset();
      wake_.Release();
    }
  }

  Napi::ThreadSafeFunction wake_;
  std::unique_ptr<Forwarder> forwarder_;
};

}  // namespace

Napi::Function define_forwarder(Napi::Env env) {
  return ForwarderObject::define(env);
}

}  // namespace fil::addon
