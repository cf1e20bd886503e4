"""Build hook of the wheel: its platform tag, and what Jupyter has to find under share/jupyter."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = ("libfil_tracker.so", "filprofiler.node", "zeromq.node", "fil.cjs", "report.html", "THIRD_PARTY_LICENSES.txt")
LAB_EXTENSION = "share/jupyter/labextensions/filprofiler"
KERNEL_SPEC = "share/jupyter/kernels/filprofile"
INSTALL_JSON = {
    "packageManager": "python",
    "packageName": "filprofiler",
    "uninstallInstructions": "Use your Python package manager (pip, conda, etc.) to uninstall the package filprofiler",
}


class FilBuildHook(BuildHookInterface):
    """Adds the built files, which git ignores, to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Set tag and contents; `version` is "editable" for a development install, which finds all files in place."""
        if version == "editable":
            return
        root = Path(self.root)
        lab = root / "filprofiler" / "labextension"
        built = [f"filprofiler/_bundle/{name}" for name in BUILT]
        missing = [name for name in built if not (root / name).is_file()]
        if not (lab / "package.json").is_file():
            missing.append("filprofiler/labextension")
        if missing:
            message = f"These built files are missing: {', '.join(missing)}. Run `npm run setup`, then build again."
            raise FileNotFoundError(message)

        # No Python extension module: one wheel serves every version, but the tracker and addon are of one platform.
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        build_data["force_include"] |= {str(root / name): name for name in built}

        made = root / "build" / "wheel"
        made.mkdir(parents=True, exist_ok=True)
        install_json = made / "install.json"
        install_json.write_text(json.dumps(INSTALL_JSON, indent=2) + "\n", encoding="utf-8")
        build_data["shared_data"] |= {
            str(lab): LAB_EXTENSION,
            str(install_json): f"{LAB_EXTENSION}/install.json",
            str(root / "jupyter-config" / "kernel.json"): f"{KERNEL_SPEC}/kernel.json",
        }
