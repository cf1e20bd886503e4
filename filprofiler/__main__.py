"""The command `fil-profile`, also `python -m filprofiler`."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # The current directory, where a file named like a module of ours or of the standard library would be taken for it.
    del sys.path[0]

from filprofiler._command_line import main

if __name__ == "__main__":
    sys.exit(main())
