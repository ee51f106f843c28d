import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import volconv
from volconv.errors import ShapeError, WeightsError
from volconv.ops.base import Wire
from volconv.ops.batch_norm import BatchNorm, check_statistics, scale_and_shift
from volconv.testing.op_contract import Case, OpContract

SHAPE = (4, 5, 19)
RNG = np.random.default_rng(3)


def statistics(channels):
    return {"running_mean": RNG.normal(size=channels), "running_var": RNG.uniform(0.01, 3, channels)}


class TestBatchNorm(OpContract):
    cases = (
        Case(BatchNorm(3), SHAPE, 3, statistics(3)),
        Case(BatchNorm(1, eps=0.1), SHAPE, 1, statistics(1)),
        Case(BatchNorm(18, weight=False, bias=False), SHAPE, 18, statistics(18)),
        Case(BatchNorm(2, bias=False), SHAPE, 2, statistics(2)),
    )


def test_scale_and_shift_are_worked_out_in_float64():
    mean, variance = np.array([1e4, -3.0], "f4"), np.array([1e-3, 2.0], "f4")
    weight, bias = np.array([1.5, 0.1], "f4"), np.array([0.25, -1.0], "f4")
    tensors = {"running_mean": mean, "running_var": variance, "weight": weight, "bias": bias}
    scale, shift = scale_and_shift(BatchNorm(2), tensors)
    assert scale.dtype == shift.dtype == np.float64
    exact = weight.astype("f8") / np.sqrt(variance.astype("f8") + 1e-5)
    np.testing.assert_array_equal(scale, exact)
    np.testing.assert_array_equal(shift, bias.astype("f8") - mean.astype("f8") * exact)
    plain, zero = scale_and_shift(BatchNorm(2, weight=False, bias=False), {k: tensors[k] for k in list(tensors)[:2]})
    np.testing.assert_array_equal(plain, 1 / np.sqrt(variance.astype("f8") + 1e-5))
    np.testing.assert_array_equal(zero, -mean.astype("f8") * plain)


@pytest.mark.parametrize(
    ("variance", "eps", "dtype", "message"),
    [
        ([1.0, -1.0], 1e-5, "float32", "running_var . eps is -0.99999 in channel 1 .1 such.*more than 0"),
        ([0.0, 0.0], 0.0, "float64", "is 0 in channel 0 .2 such"),
        ([1e-90, 1.0], 0.0, "float32", "scale inf and shift .* in channel 0 .1 such.* finite in float32"),
    ],
)
def test_statistics_that_cannot_be_divided_by_are_refused(variance, eps, dtype, message):
    tensors = {"running_mean": np.ones(2), "running_var": np.array(variance)}
    with pytest.raises(WeightsError, match=message):
        check_statistics(BatchNorm(2, eps, weight=False, bias=False), tensors, dtype)


def test_channels_have_to_agree():
    with pytest.raises(ShapeError, match="input of 3 channels, expected num_features = 2"):
        BatchNorm(2).out_wire((Wire(SHAPE, 3),))


def test_what_is_shown():
    assert BatchNorm(2).describe() == {}
    assert BatchNorm(2, eps=0.5, bias=False).describe() == {"eps": 0.5, "bias": False}
    assert BatchNorm(2, weight=False, bias=False).describe() == {"affine": False}


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 20), st.sampled_from([1e-5, 1e-3, 0.5]), st.booleans(), st.booleans(), st.integers(0, 99),
    st.sampled_from(["float32", "float64"]),
)  # fmt: skip
def test_is_torchs(channels, eps, affine, bias, seed, dtype):
    torch = pytest.importorskip("torch", reason='torch is the oracle here: python -m pip install -e ".[oracle]"')
    rng = np.random.default_rng(seed)
    layer = torch.nn.BatchNorm3d(channels, eps, affine=affine, dtype=getattr(torch, dtype)).eval()
    layer.bias = layer.bias if bias else None
    held = {name: rng.uniform(0.01, 3, channels) if name == "running_var" else rng.normal(size=channels)
            for name in layer.state_dict() if name != "num_batches_tracked"}  # fmt: skip
    layer.load_state_dict({k: torch.as_tensor(v) for k, v in held.items()}, strict=False)
    stage = {"op": "BatchNorm3d", "eps": eps, "affine": affine, "tensors": {k: v.tolist() for k, v in held.items()}}
    if affine and not bias:
        stage["bias"] = False
    x = rng.standard_normal((2, channels, 3, 4, 5)).astype(dtype)
    found = volconv.load({"volconv": 1, "dtype": dtype, "input": {"channels": channels}, "stages": [stage]})(x)
    expected = layer(torch.from_numpy(x)).detach().numpy()
    scale, shift = scale_and_shift(BatchNorm(channels, eps, affine, affine and bias), held)
    reach = np.abs(x) * np.abs(scale)[:, None, None, None] + np.abs(shift)[:, None, None, None]
    assert (np.abs(found - expected) <= 8 * np.finfo(dtype).eps * (reach + 1)).all()
