"""Settings of the watch over memory and of the process tree, from the environment, as both front doors take them."""

import os

from filprofiler._node import CannotStart
from filprofiler._sizes import parse_size

HEADROOM = "FIL_MEMORY_HEADROOM"
LIMIT = "FIL_MEMORY_LIMIT"
DISABLED = "FIL_DISABLE_OOM_DETECTION"
KEEP_STATE = "FIL_KEEP_STATE"
NO_CHILDREN = "FIL_NO_CHILDREN"
EXACT_TREE = "FIL_EXACT_TREE"


def node_options(
    *,
    disabled: bool = False,
    keep_state: str | None = None,
    no_children: bool = False,
    exact_tree: bool = False,
) -> list[str]:
    """What Fil's program in Node is to be told.

    Args:
        disabled: whether nothing is to be done when memory runs out, whatever the environment says.
        keep_state: the directory in which the state of profiles is kept; None for the environment's.
        no_children: whether processes that the profiled one starts are not tracked, whatever the environment says.
        exact_tree: whether the peak of all processes together is exact to the byte, likewise.

    Raises:
        CannotStart: if a variable is no amount of memory.
    """
    options: list[str] = []
    for name, option in ((HEADROOM, "--memory-headroom"), (LIMIT, "--memory-limit")):
        text = os.environ.get(name)
        if text:
            try:
                options += [option, str(parse_size(text))]
            except ValueError as problem:
                msg = f"{name}: {problem}. Correct it, or unset it."
                raise CannotStart(msg) from problem
    if disabled or os.environ.get(DISABLED, "") not in ("", "0"):
        options.append("--no-memory-action")
    if no_children or os.environ.get(NO_CHILDREN, "") not in ("", "0"):
        options.append("--no-children")
    if exact_tree or os.environ.get(EXACT_TREE, "") not in ("", "0"):
        options.append("--exact-tree")
    directory = os.environ.get(KEEP_STATE) if keep_state is None else keep_state
    if directory:
        options += ["--keep-state", directory]
    return options
