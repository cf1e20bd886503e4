"""Fil: which lines of a notebook's cell held the memory at its peak.

Choose the kernel "Python 3 with Fil" in Jupyter and write `%%filprofile` above a cell.
"""

# Nothing is imported here: this runs in every kernel before the notebook's directory is taken off the module path,
# where a file named like a module of the standard library would be taken for it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from filprofiler._result import ProfileResult

__all__ = ["cell_profile", "last_profile", "load_ipython_extension", "profiles", "unload_ipython_extension"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("filprofiler")
    if name == "MemoryGuardError":
        # Only in a notebook, which has loaded it.
        from filprofiler._guard import MemoryGuardError

        return MemoryGuardError
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def last_profile() -> "ProfileResult":
    """The latest profile of this process: of a cell, a line, or a call of `filprofiler.api`.

    Raises:
        LookupError: if nothing was profiled yet.
    """
    from filprofiler._result import last_profile

    return last_profile()


def cell_profile(cell: int | str) -> "ProfileResult":
    """The latest profile of a cell: by the n of its `In [n]`, or by its id in the notebook.

    Raises:
        LookupError: if there is none, naming those that there are.
    """
    from filprofiler._result import cell_profile

    return cell_profile(cell)


def profiles() -> "list[ProfileResult]":
    """The profiles of this process, the latest last; of very many, the latest hundred."""
    from filprofiler._result import profiles

    return profiles()


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """`%load_ext filprofiler`: makes `%%filprofile` known. Fil's kernel does it by itself.

    Raises:
        UsageError: in another kernel, saying which one to choose.
    """
    from filprofiler._magic import load

    load(shell)


def unload_ipython_extension(shell: "InteractiveShell") -> None:
    """`%unload_ext filprofiler`."""
    from filprofiler._magic import unload

    unload(shell)
