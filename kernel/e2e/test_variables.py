"""Which variables hold the memory: buffers that several share are counted once."""

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from harness import Kernel

from filprofiler._variables import measure

MIB = 2**20


def sizes(**variables: object) -> dict[str, int]:
    return {" ".join(entry["names"]): entry["bytes"] for entry in measure(variables)}


def test_an_array_has_the_bytes_of_its_buffer() -> None:
    assert sizes(a=np.zeros(MIB, "b")) == {"a": MIB}


def test_a_view_costs_nothing_beside_its_owner_and_all_of_it_alone() -> None:
    owner = np.zeros(MIB, "b")
    assert sizes(view=owner[::2], owner=owner) == {"owner": MIB}
    assert sizes(view=owner[::2]) == {"view": MIB}


def test_a_frame_counts_its_columns_and_shares_them_with_its_views() -> None:
    frame = pd.DataFrame({"x": np.zeros(MIB // 8), "y": np.zeros(MIB // 8)})
    measured = sizes(frame=frame, column=frame["x"])
    assert measured == {"frame": pytest.approx(2 * MIB, rel=0.01)}


def test_names_of_one_object_are_one_entry() -> None:
    a = np.zeros(MIB, "b")
    assert sizes(a=a, b=a) == {"a b": MIB}


def test_containers_count_what_they_hold_and_end_at_cycles() -> None:
    cycle: list[object] = [bytearray(MIB)]
    cycle.append(cycle)
    assert sizes(cycle=cycle)["cycle"] == pytest.approx(MIB, rel=0.01)


@pytest.mark.parametrize("make", [list, dict.fromkeys, set, lambda items: np.array(items, dtype=object)])
def test_of_a_container_with_very_many_objects_the_size_is_a_lower_bound_and_says_so(
    make: Callable[..., object],
) -> None:
    words = [f"{number:>100}" for number in range(1000)]
    whole = sum(map(sys.getsizeof, words))
    [all_of_it] = measure({"words": make(words)})
    [part_of_it] = measure({"words": make(words)}, most_objects=500)
    assert all_of_it["isWhole"]
    assert all_of_it["bytes"] > whole
    assert not part_of_it["isWhole"]
    assert part_of_it["bytes"] < all_of_it["bytes"]


def test_what_may_be_looked_at_goes_to_the_variables_with_most_objects() -> None:
    small = {f"small{number}": [f"{number:>2000}"] for number in range(50)}
    entries = measure({**small, "words": [f"{number:>100}" for number in range(1000)]}, most_objects=2200)
    assert [entry["names"] for entry in entries if not entry["isWhole"]] == []


def test_columns_of_objects_count_the_objects() -> None:
    words = [f"{number:>1000}" for number in range(1000)]
    assert sizes(s=pd.Series(words, dtype=object))["s"] > sum(map(sys.getsizeof, words))


def test_modules_functions_and_small_things_are_left_out() -> None:
    assert sizes(np=np, f=lambda: 1, small=1, t=str) == {}


def test_objects_that_refuse_to_be_measured_are_left_out() -> None:
    class Refusing:
        def __sizeof__(self) -> int:
            raise RuntimeError

    assert sizes(r=Refusing()) == {}


def test_the_kernel_tells_without_running_a_cell(kernel: Kernel) -> None:
    before = kernel.run("held = bytearray(2_000_000)").reply["execution_count"]
    expression = "__import__('filprofiler._variables', fromlist=['sizes']).sizes()"
    result = kernel.run("", silent=True, store_history=False, user_expressions={"v": expression})
    content = result.reply["user_expressions"]["v"]["data"]["application/json"]
    assert content["residentBytes"] > 2_000_000
    assert next(entry for entry in content["variables"] if entry["names"] == ["held"])["type"] == "bytearray"
    assert kernel.run("1").reply["execution_count"] == before + 1
