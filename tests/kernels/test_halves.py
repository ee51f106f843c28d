import ml_dtypes
import numpy as np
import pytest

from volconv.kernels.halves import run_round

TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("name", TYPES)
def test_any_bits_are_rounded_as_the_type_does(name):
    bits = np.random.default_rng(0).integers(0, 2**32, (4, 8, 16, 64), dtype=np.uint32)
    edges = np.array([0, 1, 0x38800000, 0x387FFFFF, 0x33000000, 0x33000001, 0x477FEFFF, 0x477FF000, 0x7F7FFFFF])
    bits.reshape(-1)[: edges.size] = edges
    values = bits.view(np.float32)
    found = values.copy().reshape(-1)
    run_round(name, found, 0, (8 * 16 * 64, 16 * 64, 64, 1), (8, 16, 64), 4)
    with np.errstate(all="ignore"):
        expected = values.astype(TYPES[name]).astype(np.float32).reshape(-1)
    nan = np.isnan(values).reshape(-1)
    assert np.isnan(found[nan]).all()
    assert (found[~nan].view(np.uint32) == expected[~nan].view(np.uint32)).all()


@pytest.mark.parametrize("name", TYPES)
def test_only_the_box_is_touched_in_either_layout(name):
    values = np.random.default_rng(1).standard_normal((5, 6, 7, 16)).astype(np.float32)
    expected = values.copy()
    expected[1:4, 2:5, 3:6] = expected[1:4, 2:5, 3:6].astype(TYPES[name])
    found = values.copy()
    start = ((1 * 6 + 2) * 7 + 3) * 16
    run_round(name, found.reshape(-1), start, (1, 6 * 7 * 16, 7 * 16, 16), (3, 3, 3), 16)
    np.testing.assert_array_equal(found, expected)
    first = values.copy()
    expected = values.copy()
    expected[1:4, 1:5, 2:6, 3:9] = expected[1:4, 1:5, 2:6, 3:9].astype(TYPES[name])
    run_round(name, first.reshape(-1), ((1 * 6 + 1) * 7 + 2) * 16 + 3, (6 * 7 * 16, 7 * 16, 16, 1), (4, 4, 6), 3)
    np.testing.assert_array_equal(first, expected)
