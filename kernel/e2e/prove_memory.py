"""`npm run prove:memory -- ROUNDS`: every way to run out of memory, ROUNDS times each (100 if not given).

In real control groups of several sizes where the machine has them; and programs below 80 % of the limit, which must be
left alone. `--only NAME` runs the scenarios whose names contain it, as all of them take hours.
"""

import argparse
import sys
import time

from memory_group import limited
from notebook_out_of_memory import NOTEBOOK_SCENARIOS
from out_of_memory_scenarios import MB, SCENARIOS, Check, below, check

LIMITS = (200 * MB, 300 * MB, 500 * MB, 1000 * MB)
# Those of notebooks begin higher: the kernel and its proxy are in the group too.
NOTEBOOK_LIMITS = (350 * MB, 420 * MB, 600 * MB, 1000 * MB)
SHARE = 0.78


def checks() -> list[tuple[str, Check, tuple[int, ...]]]:
    """Names, what to run under a limit, and the limits."""
    return [
        *((each.name, lambda limit, each=each: check(each, limit), LIMITS) for each in SCENARIOS),
        (below(LIMITS[0], SHARE).name, lambda limit: check(below(limit, SHARE), limit), LIMITS),
        *((name, run, NOTEBOOK_LIMITS) for name, run in NOTEBOOK_SCENARIOS.items()),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="npm run prove:memory --", description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=100)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="the scenario of this name, or those whose names contain it",
    )
    options = parser.parse_args()
    with limited(LIMITS[0]) as place:
        print(f"{place.kind}, {options.rounds} rounds each")
    failures = 0
    known = [name for name, _, _ in checks()]
    chosen = {
        name for wanted in options.only for name in ([wanted] if wanted in known else known) if wanted in name
    } or set(known)
    for name, run, limits in checks():
        if name not in chosen:
            continue
        begun = time.monotonic()
        wrong: list[str] = []
        for number in range(options.rounds):
            limit = limits[number % len(limits)]
            problem = run(limit)
            if problem is not None:
                wrong.append(f"    {limit // MB} MB: {problem}")
        right = options.rounds - len(wrong)
        print(
            f"{name:46} {right:4} of {options.rounds} as they must be   {time.monotonic() - begun:5.0f} s", flush=True
        )
        print("\n".join(wrong[:5]), end="\n" if wrong else "")
        failures += len(wrong)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
