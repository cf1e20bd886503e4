"""The wheel, installed like a user would: into an environment that knows nothing of this checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
from pathlib import Path

def hold():
    return bytearray(30_000_000)

held = hold()
print(len(held))
"""

API_PROGRAM = """
from filprofiler import api

print(api.measure(bytearray, 20_000_000).profile.peak_bytes)
"""

NOTEBOOK_PROGRAM = """
import nbformat
from nbclient import NotebookClient

notebook = nbformat.v4.new_notebook(
    cells=[nbformat.v4.new_code_cell("%%filprofile\\nheld = bytearray(50_000_000)\\nlen(held)")],
    metadata={"kernelspec": {"name": "filprofile", "display_name": "Python 3 with Fil"}},
)
NotebookClient(notebook, timeout=120).execute()
outputs = notebook.cells[0].outputs
assert outputs[0].data["text/plain"] == "50000000", outputs
print(outputs[1].data["application/vnd.fil.memory-profile+json"]["peakBytes"])
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a program that has to succeed, in an environment without traces of ours."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"} and not name.startswith(("FIL_", "JUPYTER"))
    }
    environment["PATH"] = os.pathsep.join(
        place for place in environment["PATH"].split(os.pathsep) if not place.startswith(str(ROOT))
    )
    completed = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, f"{command}\n{completed.stdout}\n{completed.stderr}"
    return completed.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, cwd=ROOT)
    (built,) = target.glob("*.whl")
    return built


def supported_pythons() -> dict[str, Path]:
    """The running Python and pyenv's, by their versions as far as they matter."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {f"3.{sys.version_info.minor}": Path(sys.executable)}
    for minor in range(11, 16):
        for python in sorted(pyenv.glob(f"3.{minor}.*/bin/python3")):
            found.setdefault(f"3.{minor}", python)
    return found


PYTHONS = supported_pythons()


@pytest.fixture(scope="module", params=PYTHONS)
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the Python of an environment with the wheel and a notebook client."""
    place = tmp_path_factory.mktemp("clean") / "venv"
    run(PYTHONS[request.param], "-m", "venv", place, cwd=place.parent)
    python = place / "bin" / "python"
    constraints = ROOT / "scripts" / "python-constraints.txt"
    run(python, "-m", "pip", "install", "-q", wheel, "nbclient", "-c", constraints, cwd=place.parent)
    return python


def test_the_wheel_is_of_one_platform_and_every_python_3(wheel: Path) -> None:
    version = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["version"]
    assert wheel.name.startswith(f"filprofiler-{version}-py3-none-linux_")


def test_the_wheel_holds_all_that_was_built_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    bundle = {Path(name).name for name in names if name.startswith("filprofiler/_bundle/")}
    assert bundle == {
        "libfil_tracker.so",
        "filprofiler.node",
        "zeromq.node",
        "fil.cjs",
        "report.html",
        "THIRD_PARTY_LICENSES.txt",
    }
    shared = {name.split(".data/data/", 1)[1] for name in names if ".data/data/" in name}
    assert "share/jupyter/kernels/filprofile/kernel.json" in shared
    assert {
        "share/jupyter/labextensions/filprofiler/install.json",
        "share/jupyter/labextensions/filprofiler/package.json",
    } <= shared
    assert not [name for name in names if "labextension/" in name and name.startswith("filprofiler/")]
    assert not [name for name in names if "/test" in name or "__pycache__" in name]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 5_000_000


def test_its_requirements_agree(installed: Path) -> None:
    assert "No broken requirements" in run(installed, "-m", "pip", "check", cwd=installed.parent)


def test_jupyter_finds_the_kernel_without_absolute_paths(installed: Path) -> None:
    specs = json.loads(run(installed, "-m", "jupyter", "kernelspec", "list", "--json", cwd=installed.parent))
    spec = specs["kernelspecs"]["filprofile"]["spec"]
    assert spec["display_name"] == "Python 3 with Fil"
    assert spec["argv"][0] == "python"


def test_lab_finds_the_extension(installed: Path) -> None:
    place = installed.parents[1] / "share" / "jupyter" / "labextensions" / "filprofiler"
    package = json.loads((place / "package.json").read_text(encoding="utf-8"))
    assert (place / package["jupyterlab"]["_build"]["load"]).is_file()


def test_a_cell_is_profiled_with_the_node_that_pip_brought(installed: Path) -> None:
    peak = int(run(installed, "-c", NOTEBOOK_PROGRAM, cwd=installed.parent))
    assert 50_000_000 <= peak < 51_000_000


def test_the_command_says_its_version(installed: Path) -> None:
    version = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["version"]
    assert version in run(installed.parent / "fil-profile", "--version", cwd=installed.parent)


def test_a_program_is_profiled_from_its_environment_alone(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    assert run(installed.parent / "fil-profile", "run", "script.py", cwd=tmp_path) == "30000000\n"
    (report,) = (tmp_path / "fil-result").glob("*/profile.json")
    assert 30_000_000 <= json.loads(report.read_text("utf-8"))["peakBytes"] < 35_000_000
    assert "script.py:5" in run(installed, "-m", "filprofiler", "report", "--text", report, cwd=tmp_path)


def test_the_api_measures_from_its_environment_alone(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(API_PROGRAM)
    peak = int(run(installed.parent / "fil-profile", "python", "program.py", cwd=tmp_path))
    assert 20_000_000 <= peak < 20_100_000


def test_uninstalling_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    run(sys.executable, "-m", "venv", place, cwd=tmp_path)
    python = place / "bin" / "python"
    # What pip leaves of itself is not ours.
    run(python, "-m", "pip", "--version", cwd=tmp_path)

    def files() -> set[Path]:
        return {path for path in place.rglob("*") if "__pycache__" not in path.parts and "pip" not in path.parts}

    before = files()
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=tmp_path)
    run(place / "bin" / "fil-profile", "--version", cwd=tmp_path)
    assert len(files()) > len(before) + 50
    run(python, "-m", "pip", "uninstall", "-q", "-y", "filprofiler", cwd=tmp_path)
    # Pip leaves the empty directories of share/ behind.
    assert {path for path in files() - before if not path.is_dir()} == set()
