import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import volconv
from volconv.errors import ShapeError
from volconv.ops.base import Wire, is_global
from volconv.ops.batch_norm import BatchNorm
from volconv.ops.group_norm import GroupNorm
from volconv.testing.op_contract import Case, OpContract

SHAPE = (4, 5, 19)


class TestGroupNorm(OpContract):
    cases = (
        Case(GroupNorm(3, 3), SHAPE, 3),
        Case(GroupNorm(1, 6, eps=0.1, bias=False), SHAPE, 6),
        Case(GroupNorm(6, 18, weight=False, bias=False), SHAPE, 18),
    )


def test_its_statistics_need_the_whole_input():
    assert is_global(GroupNorm(2, 4))
    assert not is_global(GroupNorm(2, 4).settled())
    assert GroupNorm(2, 4, 0.5, bias=False).settled() == BatchNorm(4, 0.5, bias=False)


def test_channels_have_to_agree():
    with pytest.raises(ShapeError, match="input of 3 channels, expected 2"):
        GroupNorm(2, 2).out_wire((Wire(SHAPE, 3),))
    with pytest.raises(ShapeError, match="3 channels, expected a multiple of num_groups = 2"):
        GroupNorm(2, 3).out_wire((Wire(SHAPE, 3),))


def test_what_is_shown():
    assert GroupNorm(2, 2).describe() == {}
    assert GroupNorm(1, 2, eps=0.5, bias=False).describe() == {"num_groups": 1, "eps": 0.5, "bias": False}
    assert GroupNorm(2, 2, weight=False, bias=False).describe() == {"affine": False}


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["InstanceNorm3d", "GroupNorm"]), st.integers(1, 6), st.integers(1, 3),
    st.sampled_from([1e-5, 0.5]), st.booleans(), st.booleans(), st.tuples(*[st.integers(1, 5)] * 3),
    st.sampled_from([0.0, 3.0]), st.integers(0, 99), st.sampled_from(["float32", "float64"]),
)  # fmt: skip
def test_is_torchs(op, groups, size, eps, affine, tracked, shape, mean, seed, dtype):
    torch = pytest.importorskip("torch", reason='torch is the oracle here: python -m pip install -e ".[oracle]"')
    rng, channels, real = np.random.default_rng(seed), groups * size, getattr(torch, dtype)
    stage = {"op": op, "eps": eps, "affine": affine}
    if op == "GroupNorm":
        stage["num_groups"] = groups
        layer = torch.nn.GroupNorm(groups, channels, eps, affine, dtype=real).eval()
    else:
        stage["track_running_stats"] = tracked
        layer = torch.nn.InstanceNorm3d(channels, eps, affine=affine, track_running_stats=tracked, dtype=real).eval()
    held = {name: rng.uniform(0.01, 3, channels) if name == "running_var" else rng.normal(size=channels)
            for name in layer.state_dict() if name != "num_batches_tracked"}  # fmt: skip
    layer.load_state_dict({k: torch.as_tensor(v) for k, v in held.items()}, strict=False)
    if held:
        stage["tensors"] = {k: v.tolist() for k, v in held.items()}
    x = (rng.standard_normal((2, channels, *shape)) + mean).astype(dtype)
    pipe = volconv.load({"volconv": 1, "dtype": dtype, "input": {"channels": channels}, "stages": [stage]})
    lone = np.prod(shape) * (size if op == "GroupNorm" else 1) == 1 and not (op != "GroupNorm" and tracked)
    if lone:
        with pytest.raises(volconv.VolconvError, match="one voxel"):
            pipe(x)
        return
    found = pipe(x)
    expected = layer(torch.from_numpy(x)).detach().numpy()
    # the scale is at most 1/sqrt(eps) times the weight, and the volume's mean is multiplied by it before it cancels
    largest = max(1.0, np.abs(held.get("weight", np.ones(1))).max(), np.abs(held.get("bias", np.ones(1))).max())
    assert np.abs(found - expected).max() <= 64 * np.finfo(dtype).eps * largest * (4 + mean) / np.sqrt(eps)
    np.testing.assert_array_equal(pipe(x, tile=(2, 1, 3), threads=1), found)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_makes_its_group_nan(bad):
    x = np.random.default_rng(0).standard_normal((4, 2, 3, 4)).astype("f4")
    x[1, 0, 0, 0] = bad
    stage = {"op": "GroupNorm", "num_groups": 2, "affine": False}
    found = volconv.load({"volconv": 1, "input": {"channels": 4}, "stages": [stage]})(x)
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2:]).all()


def test_a_constant_volume_gives_the_bias():
    x = np.full((2, 3, 3, 3), 1e30, "f4")
    stage = {"op": "InstanceNorm3d", "affine": True, "weight": [2.0, 3.0], "bias": [0.5, -1.0]}
    found = volconv.load({"volconv": 1, "input": {"channels": 2}, "stages": [stage]})(np.zeros_like(x))
    np.testing.assert_array_equal(found, np.broadcast_to(np.reshape([0.5, -1.0], (2, 1, 1, 1)), x.shape))
