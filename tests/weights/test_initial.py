"""Initial tensors: bits as documented."""

import math

import numpy as np
import pytest

from volconv.errors import SpecError
from volconv.weights.initial import Distribution, make_initial


def test_the_bits_are_those_documented():
    found = make_initial(Distribution("uniform", 0.5), (2, 3), seed=42, name="conv.weight")
    again = make_initial(Distribution("uniform", 0.5), (2, 3), seed=42, name="conv.weight")
    np.testing.assert_array_equal(found, again)
    assert found.dtype == np.float64
    assert found.flat[0].hex() == "0x1.8613a53f10800p-5"
    assert found.flat[5].hex() == "0x1.444654fce1ac0p-7"


def test_names_and_seeds_give_other_numbers():
    drawn = {
        make_initial(Distribution("uniform", 1.0), (1,), seed, name).item()
        for seed in (0, 1, 2**70)
        for name in ("", "a.weight", "a.bias")
    }
    assert len(drawn) == 9


def test_uniform_covers_its_range():
    found = make_initial(Distribution("uniform", 0.25), (50, 2000), seed=1)
    assert -0.25 <= found.min() < -0.2499
    assert 0.2499 < found.max() < 0.25
    assert abs(found.mean()) < 0.002
    assert found.std() == pytest.approx(0.25 / math.sqrt(3), rel=0.01)


def test_normal():
    found = make_initial(Distribution("normal", 2.0), (100_000,), seed=1)
    assert found.std() == pytest.approx(2, rel=0.02)
    assert abs(found.mean()) < 0.03


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3)])
def test_shapes(shape):
    for kind in ("uniform", "normal", "zeros"):
        assert make_initial(Distribution(kind, 1.0), shape, seed=0).shape == shape


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", None])
def test_bad_seeds(seed):
    with pytest.raises(SpecError, match="seed"):
        make_initial(Distribution("uniform", 1.0), (2,), seed)
