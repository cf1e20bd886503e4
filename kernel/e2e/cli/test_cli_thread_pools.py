"""Under `fil-profile run` pools of numerical libraries have one thread, whenever the program loads them."""

from programs import plain, profiled

POOLS = """
import os
{imports}
import threadpoolctl
print([pool["num_threads"] for pool in threadpoolctl.threadpool_info()])
print(sorted(os.environ.items()))
"""

PACKAGE = """
import decimal, fractions, json
threads = 8

def {setter}(number):
    global threads
    before, threads = threads, number
    return before

# As the real one: the last thing that its import does.
{setter}(16)
"""


def test_blas_has_one_thread_however_late_it_is_loaded(tmp_path):
    for number, imports in enumerate(["import numpy", "def late():\n    import pandas\nlate()"]):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "script.py").write_text(POOLS.format(imports=imports))
        expected = plain(["script.py"], directory, OPENBLAS_NUM_THREADS="2").stdout
        assert expected.startswith(b"[2]\n")
        done = profiled(["script.py"], directory, OPENBLAS_NUM_THREADS="2")
        assert done.behaviour == (0, expected.replace(b"[2]", b"[1]"), b"")


def test_packages_with_pools_of_their_own_have_one_thread_once_they_are_imported(tmp_path):
    setters = {"numexpr": "set_num_threads", "blosc": "set_nthreads", "blosc2": "set_nthreads"}
    for name, setter in setters.items():
        (tmp_path / f"{name}.py").write_text(PACKAGE.format(setter=setter))
    (tmp_path / "script.py").write_text(
        "import blosc, blosc2, numexpr\n"
        "def work(package):\n"
        "    compile('a + b', '<expression>', 'eval')\n"
        "    return [str(number) for number in range(10)]\n"
        "for package in (blosc, blosc2, numexpr):\n"
        "    work(package)\n"
        "    print(package.threads)\n"
    )
    assert profiled(["script.py"], tmp_path).behaviour == (0, b"1\n1\n1\n", b"")


LATE_FINALIZER = """
import os
class Late:
    def __del__(self):
        held = [0] * 1000
        os_is_gone = [held, [1] * 1000]
        print_late(len(os_is_gone))
    def method(self):
        pass
def print_late(count, write=os.write):
    write(1, b"%d" % count)
os.register_at_fork(after_in_child=Late().method)
"""


def test_a_finalizer_that_runs_when_there_are_no_modules_any_more_runs_as_without_us(tmp_path):
    (tmp_path / "late.py").write_text(LATE_FINALIZER)
    alone = plain(["late.py"], tmp_path)
    assert alone.status == 0
    assert profiled(["late.py"], tmp_path).behaviour == alone.behaviour
