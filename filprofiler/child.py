"""The user's process of Fil's kernel: ipykernel, as ipykernel_launcher runs it, with our extension loaded.

Started by the proxy (`kernel/src/proxy/kernel.ts`) as `python .../filprofiler/child.py -f FILE [ARGUMENTS OF
IPYKERNEL]`, with the tracker preloaded.
"""

import sys

if __name__ == "__main__":
    # This folder. ipykernel puts the notebook's in its place, once it has loaded its own modules.
    del sys.path[0]

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from filprofiler import _tracker

if TYPE_CHECKING:
    import zmq
    from ipykernel.kernelapp import IPKernelApp


def main() -> None:
    """Runs the kernel until it is shut down."""
    client_file = os.environ.pop("FIL_CLIENT_CONNECTION_FILE")
    check_tracker()

    from ipykernel.kernelapp import IPKernelApp  # after the checks, as it takes long

    arguments = sys.argv[1:]
    # What code in the notebook may look at is what it would see under ipykernel_launcher.
    launcher = find_spec("ipykernel_launcher")
    sys.argv = [launcher.origin if launcher and launcher.origin else sys.argv[0], "-f", client_file, *arguments[2:]]

    app = IPKernelApp.instance()
    _lose_no_output(app)
    app.initialize(arguments)
    _show_client_connection(app, client_file)
    # Not by the option --ext, which would replace extensions that the user's configuration names.
    app.shell.extension_manager.load_extension("filprofiler")
    app.start()


def check_tracker() -> None:
    """Ends the process with status 1 and a line on stderr unless it can be profiled."""
    try:
        if not _tracker.is_loaded():
            msg = (
                "the tracker was not preloaded into Python. A statically linked or setuid Python, or a sandbox, "
                f"may ignore LD_PRELOAD; use another Python than {sys.executable}."
            )
            raise _tracker.TrackerError(msg)
        _tracker.check()
    except _tracker.TrackerError as reason:
        sys.stderr.write(f"Fil: {reason}\n")
        sys.exit(1)


def _lose_no_output(app: "IPKernelApp") -> None:
    """Lets output wait for a proxy that gets no processor time: ipykernel's socket drops it from 1,000 messages on."""
    init_iopub = app.init_iopub

    def unlimited(context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        # Of the sockets that this context makes from now on; one that exists keeps its limit.
        context.sndhwm = 0
        init_iopub(context)

    app.init_iopub = unlimited


def _show_client_connection(app: "IPKernelApp", client_file: str) -> None:
    """Lets `%connect_info` and the like show the connection that clients have, not our private one behind it."""
    app.connection_file = client_file
    for owner in (app, app.shell):
        owner.config["IPKernelApp"]["connection_file"] = client_file
    connection = json.loads(Path(client_file).read_text("utf-8"))
    app.kernel.record_ports({name: port for name, port in connection.items() if name.endswith("_port")})


if __name__ == "__main__":
    main()
