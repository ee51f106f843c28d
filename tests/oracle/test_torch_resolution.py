"""Pooling and resampling as torch's own layers compute them, drawn at random through spec and engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import volconv

torch = pytest.importorskip("torch")
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def as_tuples(stage):
    return {key: tuple(v) if isinstance(v, list) else v for key, v in stage.items() if key != "op"}


def by_torch(stage, x):
    """Return torch's result for a volume (C, D, H, W); operators in 2-D take its slices."""
    tensor = torch.from_numpy(x)[None]
    arguments = as_tuples(stage)
    flat = stage["op"].endswith("2d") or stage.get("mode") == "bilinear"
    if flat:
        tensor = tensor[0].transpose(0, 1)
    if stage["op"] == "Interpolate":
        out = torch.nn.functional.interpolate(tensor, **arguments)
    else:
        out = getattr(torch.nn, stage["op"])(**arguments)(tensor)
    return (out.transpose(0, 1) if flat else out[0]).numpy()


def by_volconv(stage, x, tile, dtype):
    spec = {"volconv": 1, "dtype": dtype, "input": {"channels": x.shape[0]}, "stages": [stage]}
    pipeline = volconv.load(spec)
    whole = pipeline(x, threads=2)
    assert pipeline(x, tile=tile, threads=1).tobytes() == whole.tobytes(), tile
    return whole


def volume(shape, seed, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@st.composite
def pools(draw):
    rank = draw(st.sampled_from((2, 3)))
    mean = draw(st.booleans())
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    stage = {"op": f"{'Avg' if mean else 'Max'}Pool{rank}d", "kernel_size": kernel}
    if draw(st.booleans()):
        stage["stride"] = [draw(st.integers(1, 4)) for _ in range(rank)]
    stage["padding"] = [draw(st.integers(0, k // 2)) for k in kernel]
    stage["ceil_mode"] = draw(st.booleans())
    if mean:
        stage["count_include_pad"] = draw(st.booleans())
        stage["divisor_override"] = draw(st.sampled_from((None, None, 3, -2)))
    else:
        stage["dilation"] = [draw(st.integers(1, 2)) for _ in range(rank)]
    shape = (draw(st.integers(1, 3)), *(draw(st.integers(1, n)) for n in (8, 8, 40)))
    return stage, shape


@SETTINGS
@given(pools(), st.integers(0, 999), st.tuples(*[st.integers(1, 9)] * 3))
def test_pooling(drawn, seed, tile):
    stage, shape = drawn
    x = volume(shape, seed, "f4")
    try:
        expected = by_torch(stage, x)
    except RuntimeError:
        with pytest.raises(volconv.VolconvError):
            by_volconv(stage, x, tile, "float32")
        return
    found = by_volconv(stage, x, tile, "float32")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-6 if "Avg" in stage["op"] else 0)


@st.composite
def resamplings(draw):
    mode = draw(st.sampled_from(("nearest", "nearest-exact", "trilinear", "bilinear")))
    rank = 2 if mode == "bilinear" else 3
    shape = (draw(st.integers(1, 3)), *(draw(st.integers(1, n)) for n in (6, 6, 30)))
    stage = {"op": draw(st.sampled_from(("Upsample", "Interpolate"))), "mode": mode}
    if draw(st.booleans()):
        stage["size"] = [draw(st.integers(1, 2 * n)) for n in shape[-rank:]]
    else:
        factors = st.one_of(st.floats(0.3, 3.5), st.sampled_from((0.5, 1.0, 1.5, 2.0, 3.0, 4.0)))
        stage["scale_factor"] = [draw(factors) for _ in range(rank)]
        stage["recompute_scale_factor"] = draw(st.sampled_from((None, False, True)))
    if "linear" in mode:
        stage["align_corners"] = draw(st.sampled_from((None, False, True)))
    return stage, shape


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resampling(dtype):
    @SETTINGS
    @given(resamplings(), st.integers(0, 999), st.tuples(*[st.integers(1, 9)] * 3))
    def compare(drawn, seed, tile):
        stage, shape = drawn
        x = volume(shape, seed, dtype)
        try:
            # torch rounds the places of the nearest voxels otherwise for float64 volumes: ours are those of float32
            expected = by_torch(stage, x if "linear" in stage["mode"] else x.astype("f4"))
        except RuntimeError:
            with pytest.raises(volconv.VolconvError):
                by_volconv(stage, x, tile, dtype)
            return
        found = by_volconv(stage, x, tile, dtype)
        assert found.shape == expected.shape
        if "linear" not in stage["mode"]:
            np.testing.assert_array_equal(found.astype("f4"), expected)
            return
        # torch works out shares in the volume's type, where a place of n voxels has lost log2(n) bits
        bound = 8 * np.finfo(dtype).eps * max(shape) * abs(x).max()
        assert abs(found - expected).max() <= bound

    compare()


@pytest.mark.parametrize("name", ["UpsamplingNearest2d", "UpsamplingBilinear2d"])
@pytest.mark.parametrize("size", [{"scale_factor": 2}, {"scale_factor": [1.7, 0.6]}, {"size": 9}, {"size": [5, 11]}])
def test_upsampling_of_slices(name, size):
    stage, x = {"op": name, **size}, volume((2, 3, 7, 9), 0, "f4")
    np.testing.assert_allclose(by_volconv(stage, x, (2, 3, 4), "float32"), by_torch(stage, x), rtol=1e-5, atol=1e-5)
