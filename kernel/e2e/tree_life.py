"""A process of a random tree: takes and gives back memory, and starts others in every way there is.

`tree_life.py DIRECTORY SEED DEPTH KIND`. Whatever it takes or gives back it notes in DIRECTORY/log, under a lock that
all processes share: so the log is what really happened, in the order in which it did. `prove_trees.py` starts it.
"""

import fcntl
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HEADER_BYTES = sys.getsizeof(b"")
STEPS = 25
MOST_CHILDREN = {0: 3, 1: 1, 2: 0}
"""By depth."""
UNITS = {"any": 64 * 2**20, "forked": 100_000}
"""What blocks are multiples of, nearly: interpreters that start and end hold some MB, forked ones next to nothing."""


has_forked = False
"""Whether this process was forked and has executed nothing since."""


def _note_fork() -> None:
    global has_forked
    has_forked = True


os.register_at_fork(after_in_child=_note_fork)


def hold(length: int) -> bytes:
    """A block that counts `length` bytes and its header's, of which none is touched. Nothing else is taken in here."""
    return bytes(length)


class Life:
    """One process's."""

    def __init__(self, directory: str, seed: int, depth: int, kind: str) -> None:
        self.directory = Path(directory)
        self.depth = depth
        self.kind = kind
        self.random = random.Random(seed)
        self.held: list[bytes] = []
        self.children: list[Callable[[], object]] = []

    @contextmanager
    def alone(self) -> Iterator[Callable[[int], None]]:
        """While nobody else takes or gives back; what is passed to it is noted."""
        # Opened anew, as forked processes share the lock of an inherited one.
        with (self.directory / "lock").open("w") as lock, (self.directory / "log").open("a") as log:
            fcntl.lockf(lock, fcntl.LOCK_EX)

            def note(change: int) -> None:
                log.write(f"{os.getpid()} {change}\n")
                log.flush()

            yield note

    def take(self) -> None:
        """A block more."""
        unit = UNITS[self.kind]
        size = unit * self.random.randint(1, 4) + self.random.randint(0, 1000)
        with self.alone() as note:
            self.held.append(hold(size - HEADER_BYTES))
            note(size)

    def give_back(self) -> None:
        """A block less."""
        with self.alone() as note:
            note(-sys.getsizeof(self.held.pop(self.random.randrange(len(self.held)))))

    def give_all_back(self) -> None:
        """As at the end."""
        while self.held:
            self.give_back()

    def become(self, seed: int) -> None:
        """In a forked child: the life of its own, in this process."""
        Life(str(self.directory), seed, self.depth + 1, self.kind).live()

    def command(self, seed: int) -> list[str]:
        """A process of its own."""
        return [sys.executable, __file__, str(self.directory), str(seed), str(self.depth + 1), self.kind]

    def start(self) -> None:
        """A child, in one of the ways."""
        seed = self.random.randrange(1_000_000)
        way = self.random.choice(FORKED if self.kind == "forked" else [*FORKED, *EXECUTED])
        with self.alone():
            # So that what it inherits is known to it: nothing is taken while it is made.
            self.children.append(way(self, seed))

    def live(self) -> None:
        """All of it."""
        starts = {self.random.randrange(STEPS) for _ in range(MOST_CHILDREN[self.depth])}
        for step in range(STEPS):
            if step in starts:
                self.start()
            if self.held and (len(self.held) > 5 or self.random.random() < 0.45):
                self.give_back()
            else:
                self.take()
            time.sleep(self.random.random() * 0.004)
        self.give_all_back()
        for wait in self.children:
            wait()


def by_fork(life: Life, seed: int) -> Callable[[], object]:
    """os.fork() without exec; some end at once, with all that they hold."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = Life(str(life.directory), seed, life.depth + 1, life.kind)
            own.live()
            own.take()
            with own.alone() as note:
                note(-sum(map(sys.getsizeof, own.held)))
                os._exit(0)
        finally:
            os._exit(status)
    return lambda: check(os.waitpid(child, 0)[1])


def by_multiprocessing(method: str) -> Callable[[Life, int], Callable[[], object]]:
    """One of its start methods."""

    def start(life: Life, seed: int) -> Callable[[], object]:
        import multiprocessing

        arguments = (str(life.directory), seed, life.depth + 1, life.kind)
        # A forked process takes its parent's fork server for its own, and fails (CPython's forkserver.py).
        own_method = "spawn" if method == "forkserver" and has_forked else method
        process = multiprocessing.get_context(own_method).Process(target=live, args=arguments)
        process.start()

        def wait() -> None:
            process.join()
            check(process.exitcode)

        return wait

    return start


def by_executor(life: Life, seed: int) -> Callable[[], object]:
    """ProcessPoolExecutor."""
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(1)
    future = pool.submit(live, str(life.directory), seed, life.depth + 1, life.kind)

    def wait() -> None:
        future.result()
        pool.shutdown()

    return wait


def by_subprocess(life: Life, seed: int) -> Callable[[], object]:
    """subprocess."""
    process = subprocess.Popen(life.command(seed))
    return lambda: check(process.wait())


def by_pipeline(life: Life, seed: int) -> Callable[[], object]:
    """Two in a pipeline of a shell."""
    first, second = (" ".join(life.command(seed + which)) for which in (0, 1))
    process = subprocess.Popen(f"{first} | {second}", shell=True)
    return lambda: check(process.wait())


def by_posix_spawn(life: Life, seed: int) -> Callable[[], object]:
    """os.posix_spawn()."""
    child = os.posix_spawn(sys.executable, life.command(seed), os.environ)
    return lambda: check(os.waitpid(child, 0)[1])


def by_fork_and_exec(life: Life, seed: int) -> Callable[[], object]:
    """os.fork(), and then os.execv()."""
    child = os.fork()
    if child == 0:
        os.execv(sys.executable, life.command(seed))
    return lambda: check(os.waitpid(child, 0)[1])


FORKED = [by_fork, by_multiprocessing("fork")]
EXECUTED = [
    by_multiprocessing("spawn"),
    by_multiprocessing("forkserver"),
    by_executor,
    by_subprocess,
    by_pipeline,
    by_posix_spawn,
    by_fork_and_exec,
]


def check(status: int | None) -> None:
    """A child that fails is a failure of the trial."""
    if status != 0:
        msg = f"a child ended with {status}"
        raise RuntimeError(msg)


def live(directory: str, seed: int, depth: int, kind: str) -> None:
    """A life, by what can be sent to another process."""
    Life(directory, seed, depth, kind).live()


def main() -> None:
    """The one that was asked for."""
    directory, seed, depth, kind = sys.argv[1:]
    if kind == "forked":
        # Now, and not in one of the children: modules are as much as the blocks, and are in no log.
        import multiprocessing.popen_fork  # noqa: F401
    live(directory, int(seed), int(depth), kind)


if __name__ == "__main__":
    main()
