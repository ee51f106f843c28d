import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import volconv
from volconv.ops.base import Wire
from volconv.ops.global_pool import GlobalPool
from volconv.testing.op_contract import Case, OpContract


class TestGlobalPool(OpContract):
    cases = (Case(GlobalPool("average"), (4, 5, 19), 3), Case(GlobalPool("max"), (4, 5, 19), 5))


def test_its_voxel_is_the_whole_volume():
    wire = GlobalPool("average").out_wire((Wire((4, 5, 7), 3, spacing_mm=(1.0, 2.0, 3.0)),))
    assert (wire.shape, wire.channels, wire.spacing_mm) == ((1, 1, 1), 3, (4.0, 10.0, 21.0))
    assert wire.voxel_map.offset == (1.5, 2.0, 3.0)


def spec(op, dtype="float32", channels=3):
    return {"volconv": 1, "dtype": dtype, "input": {"channels": channels}, "stages": [{"op": op, "output_size": 1}]}


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["Avg", "Max"]), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 99))
def test_is_torchs(kind, shape, seed):
    torch = pytest.importorskip("torch", reason='torch is the oracle here: python -m pip install -e ".[oracle]"')
    x = np.random.default_rng(seed).standard_normal((2, 3, *shape)).astype("f4")
    found = volconv.load(spec(f"Adaptive{kind}Pool3d"))(x)
    expected = getattr(torch.nn, f"Adaptive{kind}Pool3d")(1)(torch.from_numpy(x)).numpy()
    assert np.abs(found - expected).max() <= (0 if kind == "Max" else 1e-6)
    if kind == "Avg":
        np.testing.assert_allclose(found, x.mean(axis=(2, 3, 4), keepdims=True, dtype="f8"), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("values", "mean", "largest"),
    [([np.inf, 1], np.inf, np.inf), ([np.nan, 1], np.nan, np.nan), ([np.inf, -np.inf], np.nan, np.inf),
     ([-np.inf, 1], -np.inf, 1)],
)  # fmt: skip
def test_special_values(values, mean, largest):
    x = np.array(values, "f4").reshape(1, 1, 1, 2)
    np.testing.assert_equal(volconv.load(spec("AdaptiveAvgPool3d", channels=1))(x).item(), mean)
    np.testing.assert_equal(volconv.load(spec("AdaptiveMaxPool3d", channels=1))(x).item(), largest)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_average_what_they_keep(dtype):
    x = np.random.default_rng(0).standard_normal((3, 4, 5, 6)).astype("f4")
    found = volconv.load(spec("AdaptiveAvgPool3d", dtype))(x)
    kept = volconv.load({**spec("Identity", dtype), "stages": [{"op": "Identity"}]})(x)
    expected = kept.mean(axis=(1, 2, 3), keepdims=True, dtype="f8")
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"op": "AdaptiveAvgPool3d"}, "no output_size"),
        ({"op": "AdaptiveAvgPool3d", "output_size": 2}, "output_size.*found 2, expected 1"),
        ({"op": "AdaptiveMaxPool3d", "output_size": [1, 1, 1], "return_indices": True}, "a stage has one result"),
        ({"op": "AdaptiveAvgPool3d", "output_size": [1, 1]}, "a list of 2"),
    ],
)
def test_other_parameters_are_refused(stage, message):
    with pytest.raises(volconv.VolconvError, match=message):
        volconv.load({"volconv": 1, "input": {"channels": 3}, "stages": [stage]})(np.zeros((3, 2, 2, 2), "f4"))
