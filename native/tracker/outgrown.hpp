// How a young process (native/shared/tree.hpp, Young) gets a segment: whatever finds that it needs one calls this.
#pragma once

#include "exclusive.hpp"

namespace fil {

using Outgrown = void (*)(const ExclusiveGuard& guard);

}  // namespace fil
