"""Where kernels are started: under JupyterHub, by editors, from environments of all kinds."""

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from harness import Kernel, started, wait_until
from jupyter_client.kernelspec import KernelSpecManager

import filprofiler

PACKAGE = Path(filprofiler.__file__).parent
PROFILED = "%%filprofile\nkept = bytearray(2_000_000)"


def works(kernel: Kernel) -> bool:
    """Whether it runs and profiles cells, and hands nothing of ours to the user's processes."""
    assert kernel.run("1 + 1").value == "2"
    assert kernel.run(PROFILED).report.peak >= 2_000_000
    assert kernel.run("import os, subprocess\n[n for n in os.environ if n.startswith('FIL_')]").value == "[]"
    assert kernel.run("subprocess.run(['/usr/bin/env'], capture_output=True).stdout.count(b'libfil')").value == "0"
    return True


def without(*names: str, **more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name not in names}, **more}


def test_an_environment_that_is_nearly_empty(tmp_path):
    with started(env={"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)}) as kernel:
        assert works(kernel)


def test_another_path_and_no_runtime_directory(tmp_path):
    with started(env=without("XDG_RUNTIME_DIR", "VIRTUAL_ENV", PATH="/usr/bin:/bin")) as kernel:
        assert works(kernel)


@pytest.fixture
def read_only(tmp_path):
    """A home that nobody can write into. As root's permissions know no bounds, it is one that does not exist."""
    path = tmp_path / "home"
    path.mkdir()
    path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.geteuid() == 0:
        path = Path("/proc/no-home")
    yield path
    if path.exists():
        path.chmod(stat.S_IRWXU)


def test_a_home_that_cannot_be_written(read_only):
    with started(env=without(HOME=str(read_only), PYTHONDONTWRITEBYTECODE="1")) as kernel:
        assert works(kernel)


@pytest.mark.parametrize("name", ["with spaces", "with:colons", "with 'quotes' $and; ümlauts"])
def test_a_directory_for_temporary_files_of_any_name(tmp_path, name):
    directory = tmp_path / name
    directory.mkdir()
    with started(env=without(TMPDIR=str(directory))) as kernel:
        assert works(kernel)
        private = kernel.private_directory
    wait_until(lambda: not private.exists(), "the private directory is removed", 5)
    assert [path.name for path in directory.iterdir() if path.name.startswith("fil-")] == []


def test_a_directory_for_temporary_files_with_a_name_too_long_for_sockets(tmp_path):
    directory = tmp_path / ("long" * 30)
    directory.mkdir()
    with started(env=without(TMPDIR=str(directory))) as kernel:
        assert works(kernel)


def install(target: Path) -> Path:
    """A copy of the package, as pip would lay it."""
    shutil.copytree(PACKAGE, target / "filprofiler", ignore=shutil.ignore_patterns("labextension", "__pycache__"))
    return target


@pytest.mark.parametrize("name", ["a path with spaces", "a:path:with:colons", "both: of them"])
def test_an_installation_in_a_path_of_any_name(tmp_path, name):
    # By a .pth file of a virtual environment, as PYTHONPATH separates by colons.
    environment = virtual_environment(tmp_path / name.replace(":", ";"))
    site = install(tmp_path / name)
    link(environment, site)
    with started(**spec(tmp_path, environment), env=without("PYTHONPATH")) as kernel:
        assert kernel.run("import filprofiler; filprofiler.__file__").value == repr(
            str(site / "filprofiler/__init__.py")
        )
        assert works(kernel)


def virtual_environment(path: Path) -> Path:
    """A virtual environment without pip, of the same Python; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True, timeout=60)
    return path / "bin" / "python"


def link(python: Path, *sites: Path) -> None:
    """Lets a virtual environment import from these directories and from our own environment."""
    found = next((python.parent.parent / "lib").glob("python3*/site-packages"))
    ours = sysconfig.get_path("purelib")
    (found / "test.pth").write_text("".join(f"{site}\n" for site in (*sites, ours)), "utf-8")


def spec(directory: Path, python: Path) -> dict[str, object]:
    """Options for `started`: the kernel of another interpreter, as its own kernelspec names it."""
    kernels = directory / "kernels"
    found = kernels / "elsewhere"
    found.mkdir(parents=True)
    template = json.loads((Path(filprofiler.__file__).parents[1] / "jupyter-config" / "kernel.json").read_text("utf-8"))
    (found / "kernel.json").write_text(json.dumps({**template, "argv": [str(python), *template["argv"][1:]]}), "utf-8")
    return {"name": "elsewhere", "kernel_spec_manager": KernelSpecManager(kernel_dirs=[str(kernels)])}


def test_a_virtual_environment_in_a_path_with_spaces(tmp_path):
    environment = virtual_environment(tmp_path / "my environment")
    link(environment, install(tmp_path / "site packages"))
    with started(**spec(tmp_path, environment)) as kernel:
        assert kernel.run("import sys; sys.prefix").value == repr(str(tmp_path / "my environment"))
        assert works(kernel)


def test_the_base_python_as_a_system_or_conda_prefix_without_a_virtual_environment(tmp_path):
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = install(tmp_path / "site")
    packages = sysconfig.get_path("purelib")
    env = without("VIRTUAL_ENV", PYTHONPATH=f"{site}{os.pathsep}{packages}")
    with started(**spec(tmp_path, base), env=env) as kernel:
        assert kernel.run("import sys; sys.prefix == sys.base_prefix").value == "True"
        assert works(kernel)


def test_an_environment_that_cannot_be_written_is_not_written(tmp_path):
    site = install(tmp_path / "site")
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*")}
    with started(env=without(PYTHONPATH=str(site), PYTHONDONTWRITEBYTECODE="1")) as kernel:
        assert works(kernel)
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*")} == before


def test_the_users_own_preloaded_library_stays(tmp_path):
    fixture = next((Path(__file__).parents[2] / "build" / "native").rglob("libfil_fixture.so"))
    with started(env=without(LD_PRELOAD=str(fixture))) as kernel:
        assert kernel.run("import os; os.environ['LD_PRELOAD']").value == repr(str(fixture))
        assert kernel.run(PROFILED).report.peak >= 2_000_000


def test_editors_find_all_that_they_read_in_the_kernelspec():
    found = KernelSpecManager().get_kernel_spec("filprofile").to_dict()
    assert Path(found["argv"][0]).is_absolute()
    assert found["argv"][1:] == ["-P", "-m", "filprofiler.kernel", "-f", "{connection_file}"]
    assert found["language"] == "python"
    assert found["display_name"] == "Python 3 with Fil"
    assert found["interrupt_mode"] == "signal"
    assert found["metadata"]["debugger"] is True
    assert found["metadata"]["supported_encryption"] == ["curve"]
