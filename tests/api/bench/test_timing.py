"""Rounds, medians and ratios; a whole row, timed in earnest."""

import fcntl

import pytest

from volconv.api.bench.results import Samples, best_rival
from volconv.api.bench.timing import Settings, _alone, _still_racing, time_row
from volconv.settings import thread_count

from .cases import ROWS


def test_ratios_are_taken_within_a_round():
    samples = Samples([{"a": 1.0, "b": 2.0}, {"a": 10.0, "b": 40.0}, {"a": 1.0, "b": 3.0}, {"a": 7.0}])
    assert samples.ratio("b", "a") == 3.0
    assert samples.ratio("a", "c") is None
    assert samples.median("a") == 4.0
    assert samples.median("c") is None
    assert samples.of("b") == [2.0, 40.0, 3.0]


def test_the_lock_is_held_while_timing_and_let_go(tmp_path):
    lock = tmp_path / "lock"
    with lock.open("a") as file:
        with _alone(lock), pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_slow_leave_the_race():
    entry = {"reused torch": 0.2, "reused openvino": 0.1, "reused onnxruntime": 0.14, "reused scipy": 0.9}
    names = ["torch", "openvino", "onnxruntime", "scipy"]
    assert list(_still_racing("reused", names, entry, 1.5)) == ["openvino", "onnxruntime", "scipy"]
    long = {name: 10 * seconds for name, seconds in entry.items()}
    assert list(_still_racing("reused", names, long, 1.5)) == ["openvino", "scipy"]


@pytest.mark.parametrize("name", ["few", "point", "gaussian", pytest.param("network", marks=pytest.mark.slow)])
def test_a_row(name):
    row = ROWS[name]
    document = time_row(row, Settings(2, 1))
    assert document["right"]
    assert document["row"] == name
    assert document["rounds"] >= 2
    assert document["ms"] > 0
    assert min(document["gflops"], document["of_peak"], document["peak_gflops"], document["gb_per_s"]) > 0
    assert (document["of_copy"] is None) == (document["copy_gb_per_s"] is None)
    assert document["rivals"] == {}
    assert best_rival(document, "reused") is None


def test_a_row_beside_scipy():
    pytest.importorskip("scipy")
    document = time_row(ROWS["gaussian"], Settings(2, thread_count(), ("scipy",)))
    assert document["right"]
    for mode in ("reused", "plain"):
        rival = document["rivals"][mode]["scipy"]
        assert rival["ms"] > 0
        assert rival["error"] < 1e-6
        assert best_rival(document, mode, dense=False) == rival
        assert best_rival(document, mode, dense=True) is None


def test_filters_alone_meet_those_who_do_filters_alone():
    assert time_row(ROWS["few"], Settings(1, 1, ("scipy",)))["rivals"] == {}
