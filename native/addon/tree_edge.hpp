// The process tree in N-API's terms, as index.d.ts promises it.
#pragma once

#include <napi.h>

namespace fil::addon {

Napi::Function define_process_tree(Napi::Env env);

}  // namespace fil::addon
