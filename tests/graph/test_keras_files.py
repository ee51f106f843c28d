"""Weights of Keras in a spec: HDF5 of either form against what Keras computed, and the same as TensorFlow.js."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import volconv
from tests.weights.raw_cases import write_model
from volconv.errors import WeightsError
from volconv.weights.store import open_weights

FIXTURES = Path(__file__).parent.parent / "weights" / "fixtures"
NAMES = ("first", "slopes", "grouped", "norm", "up", "last")
NUMBERED = ("conv3d", "p_re_lu", "conv3d_1", "batch_normalization", "conv3d_transpose", "conv3d_2")


def make_spec(names=NAMES, **more):
    first, slopes, grouped, norm, up, last = names
    stages = [
        {"op": "Conv3d", "name": first, "dilation": [1, 2, 1]},
        {"op": "PReLU", "name": slopes},
        {"op": "Conv3d", "name": grouped, "groups": 3, "padding": "same"},
        {"op": "ReLU"},
        {"op": "BatchNorm3d", "name": norm, "eps": 1e-3},
        {"op": "ConvTranspose3d", "name": up, "stride": 2},
        {"op": "Conv3d", "name": last, "bias": False},
    ]
    return {"volconv": 1, "input": {"channels": 2}, "stages": stages, **more}


def check(spec, weights):
    expected = np.load(FIXTURES / "keras_expected.npz")
    found = volconv.load(spec, weights=weights)(np.moveaxis(expected["x"], -1, 1))
    y = np.moveaxis(expected["y"], -1, 1)
    assert found.shape == y.shape
    np.testing.assert_allclose(found, y, atol=2e-6 * np.abs(y).max())


@pytest.mark.parametrize(
    ("file", "prefix", "names"), [("keras.h5", "model_weights.", NAMES), ("keras.weights.h5", "layers.", NUMBERED)]
)
def test_a_network_of_keras(file, prefix, names):
    said = {"file": "-", "prefix": prefix, "layout": "keras"}
    check(make_spec(names, weights=said), FIXTURES / file)


def network():
    """Return the tensors of the network as Keras names them, by layer."""
    with open_weights(FIXTURES / "keras.h5", "model_weights.") as store:
        return {tuple(key.split(".")[::3]): store[key] for key in store}


def test_the_names_of_keras_2(tmp_path):
    """A layer's name twice, or the model's between them, and ``:0`` behind."""
    for form in ("{0}/{0}/{1}:0", "{0}/net/{0}/{1}:0"):
        with h5py.File(tmp_path / "old.h5", "w") as file:
            for names, values in network().items():
                file[form.format(*names)] = values
        check(make_spec(weights={"file": "-", "layout": "keras"}), tmp_path / "old.h5")


@pytest.mark.parametrize("layout", [{}, {"layout": "keras"}])
def test_the_same_as_tensorflow_js(tmp_path, layout):
    """The format has one layout, which need not be said."""
    path = write_model(tmp_path, [{"/".join(names): values for names, values in network().items()}], 5000)
    check(make_spec(weights={"file": "-", **layout}), path)
    check(make_spec(), path)
    own = {"op": "Conv3d", "kernel_size": 1, "bias": False, "weight": {"file": "model.json", "key": "last.kernel"}}
    (tmp_path / "spec.yaml").write_text(
        f"volconv: 1\ninput: {{channels: 4}}\nstages: [{str(own).replace(': False', ': false')}]\n"
    )
    x = np.ones((1, 4, 1, 1, 2), "f4")
    found = volconv.load(tmp_path / "spec.yaml")(x)
    np.testing.assert_allclose(found[0, :, 0, 0, 0], network()["last", "kernel"].sum(axis=(0, 1, 2, 3)), rtol=1e-6)


def load(path, stage, **weights):
    spec = {"volconv": 1, "input": {"channels": 2}, "weights": {"file": "-", **weights}, "stages": [stage]}
    return volconv.load(spec, weights=path)(np.ones((1, 2, 6, 6, 6), "f4"))


def test_a_convolution_in_two_dimensions(tmp_path):
    from scipy.ndimage import correlate

    kernel = np.random.default_rng(1).normal(size=(3, 5, 2, 1)).astype("f4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["conv/kernel"] = kernel
        file["conv/bias"] = np.zeros(1, "f4")
    x = np.random.default_rng(2).normal(size=(1, 2, 1, 8, 9)).astype("f4")
    spec = {
        "volconv": 1,
        "input": {"channels": 2},
        "weights": {"file": "-", "layout": "keras"},
        "stages": [{"op": "Conv2d", "name": "conv", "padding": [1, 2]}],
    }
    expected = sum(correlate(x[0, c, 0].astype("f8"), kernel[..., c, 0].astype("f8"), mode="constant") for c in (0, 1))
    np.testing.assert_allclose(volconv.load(spec, weights=tmp_path / "a.h5")(x)[0, 0, 0], expected, atol=1e-5)


def test_what_does_not_fit_says_so(tmp_path):
    np.savez(tmp_path / "a.npz", **{"conv.weight": np.zeros((3, 3, 3, 2, 4)), "conv.kernel": np.zeros((4, 2, 3, 3, 3))})
    stage = {"op": "Conv3d", "name": "conv", "bias": False, "out_channels": 4, "kernel_size": 3}
    with pytest.raises(WeightsError, match=r"it has the layout of keras: weights: \{file: …, layout: keras\}"):
        load(tmp_path / "a.npz", stage)
    with pytest.raises(WeightsError, match=r"expected \(3, 3, 3, 2, 4\); the file has the layout of keras, unless"):
        load(tmp_path / "a.npz", stage, layout="keras")
    with pytest.raises(WeightsError, match=r"found no tensor 'other.kernel'"):
        load(tmp_path / "a.npz", {**stage, "name": "other"}, layout="keras")
    load(tmp_path / "a.npz", {**stage, "weight": "conv.weight"}, layout="keras")


def test_numbers_of_a_normalisation_that_lacks_some_are_not_guessed(tmp_path):
    np.savez(tmp_path / "a.npz", **{f"norm.vars.{i}": np.ones(2) for i in range(3)})
    stage = {"op": "BatchNorm3d", "name": "norm"}
    with pytest.raises(WeightsError, match=r"found no tensor 'norm\.gamma'"):
        load(tmp_path / "a.npz", stage, layout="keras")
