"""The exact values of windows are those of the whole, computed at once."""

import math

import numpy as np
import pytest

from volconv.api.bench.exact import Exact, make_exact
from volconv.api.bench.networks import make_volume
from volconv.engine.naive_engine import run_naive

from .cases import ROWS


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("edge", [8, 24, 30])
def test_windows_are_those_of_the_whole(name, edge):
    row = ROWS[name]
    if edge % 2 and name == "network":
        pytest.skip("halves must fit")
    network = row.make()
    volume = make_volume(row.channels, (edge, edge, edge), row.volume)
    exact = make_exact(network.build, volume)
    (whole,) = run_naive(network.build((edge, edge, edge), row.channels), volume).values()
    assert exact.error_of(whole) < 1e-13
    assert exact.starts[0] == (0, 0, 0)
    last = [a + n for a, n in zip(exact.starts[-1], exact.values[-1].shape[1:], strict=True)]
    assert last == list(whole.shape[1:])


def test_errors_are_seen_wherever_they_are_looked_for():
    values = np.ones((1, 2, 2, 2))
    exact = Exact(((0, 0, 0), (2, 2, 2)), (values, 4 * values))
    result = np.ones((1, 4, 4, 4))
    result[:, 2:, 2:, 2:] = 4
    assert exact.error_of(result) == 0
    result[0, 3, 3, 3] = 6
    assert exact.error_of(result) == 0.5
    result[0, 0, 0, 0] = np.nan
    assert math.isnan(exact.error_of(result))
