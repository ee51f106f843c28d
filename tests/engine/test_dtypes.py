"""Half precision and integers: what is stored, what is computed in, how often is rounded."""

import ml_dtypes
import numpy as np
import pytest

import volconv
from volconv.errors import UsageError, VolconvError

HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", HALVES)
def test_a_layer_rounds_its_sums_once(name):
    kind = HALVES[name]
    layer = volconv.Conv3d(3, 20, 3, padding=1, init="default", seed=1, dtype=name)
    x = RNG.standard_normal((3, 6, 7, 8))
    exact = volconv.Conv3d(3, 20, 3, padding=1, dtype="float64")
    exact.weight, exact.bias = layer.weight.astype("f8"), layer.bias.astype("f8")
    found, expected = layer(x), exact(x.astype(kind).astype("f8"))
    assert found.dtype == kind
    assert layer.weight.dtype == kind
    once = expected.astype(kind)
    same = found.astype("f4") == once.astype("f4")
    assert same.mean() > 0.99  # float32 sums may fall on the other side of a tie
    apart = np.abs(found.astype("f8") - expected)
    assert (apart <= 1.01 * np.abs(once.astype("f8") * ml_dtypes.finfo(kind).eps) + 1e-6).all()


@pytest.mark.parametrize("name", HALVES)
def test_every_stage_is_rounded_whatever_the_tile(name):
    conv = {"op": "Conv3d", "kernel_size": 3, "padding": 1, "weight": {"init": "default", "seed": 1}}
    stages = [
        {**conv, "name": "a", "out_channels": 20},
        {"op": "GELU", "name": "b"},
        {**conv, "name": "c", "out_channels": 2},
    ]
    spec = {"volconv": 1, "dtype": name, "stages": stages}
    x = RNG.standard_normal((1, 9, 10, 11)).astype("f4")
    whole = volconv.load(spec)(x, tile="whole")
    assert (whole == whole.astype(HALVES[name]).astype("f4")).all()
    for tile in ((4, 4, 4), (1, 10, 5)):
        assert volconv.load(spec)(x, tile=tile, threads=1).tobytes() == whole.tobytes()
    inner = volconv.load({**spec, "outputs": ["c", "a", "b"]})(x)
    assert inner["c"].tobytes() == whole.tobytes()
    assert (inner["a"] == inner["a"].astype(HALVES[name]).astype("f4")).all()
    full = volconv.load({**spec, "dtype": "float32"})(x)
    assert np.abs(full - whole).max() < 0.05


def test_beyond_the_range_is_infinite():
    layer = volconv.Conv3d(1, 1, 1, weight=np.full((1, 1, 1, 1, 1), 2.0), bias=False, dtype="float16")
    assert np.isinf(layer(np.full((1, 1, 1, 2), 40000.0))).all()


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_integers_wrap(dtype):
    layer = volconv.Conv3d(2, 3, (2, 3, 1), stride=(1, 2, 1), padding=1, dtype=dtype)
    layer.weight = RNG.integers(-9, 9, layer.weight_shape)
    layer.bias = RNG.integers(-9, 9, 3)
    x = RNG.integers(0, 100, (1, 2, 5, 6, 7))
    exact = volconv.Conv3d(2, 3, (2, 3, 1), stride=(1, 2, 1), padding=1, dtype="float64")
    exact.weight, exact.bias = layer.weight.astype("i1").astype("f8"), layer.bias.astype("i1").astype("f8")
    expected = exact(x.astype(dtype)).astype("i8").astype(dtype)
    np.testing.assert_array_equal(layer(x), expected)
    assert layer(x).dtype == dtype


def test_transposed_and_dilated_int64():
    x = RNG.integers(-50, 50, (4, 3, 4, 5))
    for kind, extra in (
        (volconv.ConvTranspose3d, {"output_padding": 1}),
        (volconv.Conv3d, {"padding_mode": "circular"}),
    ):
        arguments = {
            "stride": 2,
            "padding": 1,
            "groups": 2,
            "dilation": 1 if extra.get("output_padding") else 2,
            **extra,
        }
        layer, exact = (kind(4, 6, 2, dtype=d, **arguments) for d in ("int64", "float64"))
        layer.weight = exact.weight = RNG.integers(-9, 9, layer.weight_shape)
        layer.bias = exact.bias = RNG.integers(-9, 9, 6)
        np.testing.assert_array_equal(layer(x), exact(x))


def test_integers_that_torch_lacks_are_refused():
    with pytest.raises(UsageError, match="dilated or transposed"):
        volconv.Conv3d(1, 1, 3, dilation=2, dtype="int32")
    with pytest.raises(UsageError, match="dilated or transposed"):
        volconv.ConvTranspose3d(1, 1, 3, dtype="int16")
    with pytest.raises(UsageError, match="megengine convolves no integers"):
        volconv.Conv3d(1, 1, 3, dtype="int64", dialect="megengine")
    with pytest.raises(UsageError, match="found dtype"):
        volconv.Conv3d(1, 1, 3, dtype=bool)


def test_weights_beyond_half_precision_are_refused():
    spec = {"volconv": 1, "dtype": "float16", "stages": [{"op": "Conv3d", "weight": [[[[[1e6]]]]]}]}
    with pytest.raises(VolconvError, match="not finite in float16"):
        volconv.load(spec)(np.ones((1, 2, 2, 2)))


def test_the_plan_says_what_is_computed(tmp_path):
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), "f4"), np.eye(4)), tmp_path / "x.nii")
    plan = volconv.plan({"volconv": 1, "dtype": "bfloat16", "stages": [{"op": "ReLU"}]}, tmp_path / "x.nii")
    assert plan.to_json()["computed_in"] == "float32"
    assert "bfloat16, computed in float32" in str(plan)
