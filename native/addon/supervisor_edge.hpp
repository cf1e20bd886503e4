// The supervisor in N-API's terms, as index.d.ts promises it.
#pragma once

#include <napi.h>

namespace fil::addon {

/// Adds `superviseChild`, `endWithStatus` and `endBySignal`.
void define_supervisor(Napi::Env env, Napi::Object exports);

}  // namespace fil::addon
