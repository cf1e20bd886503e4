"""The command `fil-profile`, also `python -m filprofiler`."""

import argparse
import sys
from importlib.metadata import distribution

DESCRIPTION = """\
Fil is a memory profiler for Python notebooks: it shows which lines held the memory at the peak.

To profile, choose the kernel "Python 3 with Fil" in Jupyter and write %%filprofile above a cell.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="fil-profile", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="store_true", help="show the version and end")
    parser.add_argument("--license", action="store_true", help="show the license and end")
    options = parser.parse_args(arguments)
    if options.version:
        sys.stdout.write(f"Fil {distribution('filprofiler').version}\n")
    elif options.license:
        sys.stdout.write(_license())
    else:
        parser.print_help()
    return 0


def _license() -> str:
    files = distribution("filprofiler").files or []
    texts = [path.read_text() for path in files if path.name == "LICENSE"]
    return texts[0] if texts else "Apache License 2.0: see the file LICENSE of the source distribution.\n"


if __name__ == "__main__":
    sys.exit(main())
