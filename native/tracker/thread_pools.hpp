// Thread pools of numerical libraries, limited to one thread for a program that is tracked from its start: with more,
// the memory that their threads take at the peak depends on the number of processors, and has no Python stack.
//
// filprofiler/_thread_pools.py does the same for libraries that are loaded when a profile begins; here they are still
// to come, and nothing of ours runs in the program that could wait for them.
#pragma once

namespace fil {

/// Limits pools of libraries that came since the last call. To be called now and then, with the GIL held; cheap if
/// nothing came.
void limit_new_thread_pools();

}  // namespace fil
