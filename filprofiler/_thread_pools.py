"""Thread pools of numerical libraries, limited to one thread while tracking.

With more, the memory that a library's threads take at the peak depends on the number of processors, and has no Python
stack.
"""

import sys
from collections.abc import Callable

Restore = Callable[[], None]


def limit_to_one_thread() -> Restore:
    """Limits the pools of the libraries that are loaded, and returns what undoes it.

    BLAS and OpenMP through threadpoolctl; numexpr and blosc, which have pools of their own, if the program has imported
    them.
    """
    from threadpoolctl import threadpool_limits  # only now: it takes 10 ms

    limits = threadpool_limits(limits=1)
    undo: list[Restore] = [limits.restore_original_limits]
    for module_name, setter_name in (
        ("numexpr", "set_num_threads"),
        ("blosc", "set_nthreads"),
        ("blosc2", "set_nthreads"),
    ):
        # Not imported here: an import would show in the user's first report.
        setter: Callable[[int], int] | None = getattr(sys.modules.get(module_name), setter_name, None)
        if setter is not None:
            undo.append(_set_threads(setter))

    def restore() -> None:
        for step in reversed(undo):
            step()

    return restore


def _set_threads(setter: Callable[[int], int]) -> Restore:
    before = setter(1)

    def restore() -> None:
        setter(before)

    return restore
