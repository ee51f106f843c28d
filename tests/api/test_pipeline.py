import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import volconv
from volconv.errors import BudgetError, ShapeError, SpecError, UsageError

X = np.random.default_rng(0).random((1, 12, 13, 14))


def test_a_preset_is_a_function():
    pipe = volconv.load("gaussian", sigma="2mm")
    found = pipe(X, spacing=(2, 1, 1), tile=(5, 6, 7), threads=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], gaussian_filter(X[0], (1, 2, 2), mode="nearest"), atol=1e-6)
    np.testing.assert_array_equal(found, pipe(X, spacing=(2, 1, 1)))
    assert "gaussian" in repr(pipe)


def test_millimetres_need_a_spacing():
    with pytest.raises(SpecError, match="spacing"):
        volconv.load("gaussian", sigma="2mm")(X)


def test_batches_keep_their_axis_and_several_outputs_are_a_dict():
    spec = {
        "volconv": 1,
        "stages": [{"op": "Abs", "name": "a"}, {"op": "Affine", "name": "b", "scale": 2}],
        "outputs": ["b", "a"],
    }
    pipe = volconv.load(spec)
    for x in (X[None], np.stack([X, -X])):
        results = pipe(x)
        assert list(results) == ["b", "a"]
        np.testing.assert_array_equal(results["b"], 2 * np.abs(x.astype("f4")))
    assert pipe(X)["a"].shape == X.shape


def test_integers_are_taken_as_they_are():
    x = np.arange(-4, 4, dtype=np.int16).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(volconv.load({"volconv": 1, "stages": [{"op": "Abs"}]})(x), np.abs(x))


def test_what_cannot_be_is_refused():
    pipe = volconv.load("gaussian", sigma="1voxel")
    with pytest.raises(ShapeError):
        pipe(X[0])
    with pytest.raises(ShapeError, match="2 channels"):
        pipe(np.concatenate([X, X]))
    with pytest.raises(BudgetError):
        pipe(X, memory="1MB")
    with pytest.raises(UsageError, match="tile"):
        pipe(X, tile=(1, 2))
    with pytest.raises(UsageError, match="integers or floats"):
        pipe(X.astype(complex))
