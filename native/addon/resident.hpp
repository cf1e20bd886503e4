#pragma once

namespace fil::addon {

/// Gives back memory that this process can do without: free memory of the heap, and pages of program files, which come
/// back from the page cache when they are needed. Throws nothing; what can't be given back stays.
void release_resident();

}  // namespace fil::addon
