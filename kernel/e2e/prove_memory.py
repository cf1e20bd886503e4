"""`npm run prove:memory -- ROUNDS`: every way to run out of memory, ROUNDS times each (100 if not given).

In real control groups of several sizes where the machine has them; and programs below 80 % of the limit, which must be
left alone.
"""

import sys
import time

from memory_group import limited
from out_of_memory_scenarios import MB, SCENARIOS, below, check

LIMITS = (200 * MB, 300 * MB, 500 * MB, 1000 * MB)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with limited(LIMITS[0]) as place:
        print(f"{'control groups' if place.is_group else 'limits by FIL_MEMORY_LIMIT'}, {rounds} rounds each")
    failures = 0
    for scenario_index in range(len(SCENARIOS) + 1):
        begun = time.monotonic()
        wrong: list[str] = []
        name = ""
        for number in range(rounds):
            limit = LIMITS[number % len(LIMITS)]
            scenario = SCENARIOS[scenario_index] if scenario_index < len(SCENARIOS) else below(limit, 0.78)
            name = scenario.name
            problem = check(scenario, limit)
            if problem is not None:
                wrong.append(f"    {limit // MB} MB: {problem}")
        print(
            f"{name:32} {rounds - len(wrong):4} of {rounds} as they must be   {time.monotonic() - begun:5.0f} s",
            flush=True,
        )
        print("\n".join(wrong[:5]), end="\n" if wrong else "")
        failures += len(wrong)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
