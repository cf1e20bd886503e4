"""Fil: which lines of a notebook's cell held the memory at its peak.

Choose the kernel "Python 3 with Fil" in Jupyter and write `%%filprofile` above a cell.
"""

# Nothing is imported here: this runs in every kernel before the notebook's directory is taken off the module path,
# where a file named like a module of the standard library would be taken for it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("filprofiler")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


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
