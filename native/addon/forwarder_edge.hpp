#pragma once

#include <napi.h>

namespace fil::addon {

/// The class Forwarder of index.d.ts.
Napi::Function define_forwarder(Napi::Env env);

}  // namespace fil::addon
