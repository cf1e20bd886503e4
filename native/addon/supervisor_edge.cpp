#include "supervisor_edge.hpp"

#include <exception>

#include "supervisor.hpp"

namespace fil::addon {
namespace {

const char* name_of(ChildEvent::Kind kind) {
  switch (kind) {
    case ChildEvent::Kind::exited:
      return "exited";
    case ChildEvent::Kind::killed:
      return "killed";
    case ChildEvent::Kind::report_asked:
      break;
  }
  return "report-asked";
}

Napi::Value supervise_child(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto child = static_cast<pid_t>(info[0].ToNumber().Int32Value());
  // Never released: it holds Node's loop open, and the process ends by one of the functions below.
  auto to_node = Napi::ThreadSafeFunction::New(env, info[2].As<Napi::Function>(), "superviseChild", 0, 1);
  try {
    supervise(child, info[1].ToBoolean(), [to_node](ChildEvent event) mutable {
      to_node.NonBlockingCall([event](Napi::Env callback_env, Napi::Function callback) {
        Napi::Object result = Napi::Object::New(callback_env);
        result.Set("kind", name_of(event.kind));
        result.Set("value", event.value);
        callback.Call({result});
      });
    });
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
  return env.Undefined();
}

Napi::Value end_with_status_js(const Napi::CallbackInfo& info) {
  end_with_status(info[0].ToNumber().Int32Value());
}

Napi::Value end_by_signal_js(const Napi::CallbackInfo& info) {
  end_by_signal(info[0].ToNumber().Int32Value());
}

}  // namespace

void define_supervisor(Napi::Env env, Napi::Object exports) {
  exports.Set("superviseChild", Napi::Function::New(env, supervise_child, "superviseChild"));
  exports.Set("endWithStatus", Napi::Function::New(env, end_with_status_js, "endWithStatus"));
  exports.Set("endBySignal", Napi::Function::New(env, end_by_signal_js, "endBySignal"));
}

}  // namespace fil::addon
