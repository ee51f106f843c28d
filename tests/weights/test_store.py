"""The store: prefixes, missing names, checks on the way to a stage."""

import hashlib
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from volconv.errors import MissingFileError, WeightsError
from volconv.weights.missing import MissingTensorError
from volconv.weights.store import get_tensor, open_weights, to_dtype


@pytest.fixture
def save(tmp_path):
    def make(**tensors):
        path = tmp_path / "weights.dat"
        save_file({name.replace("__", "."): np.asarray(value) for name, value in tensors.items()}, path)
        return path

    return make


def test_a_mapping(save):
    with open_weights(save(a=[1.0], b=[2.0])) as store:
        assert list(store) == ["a", "b"]
        assert len(store) == 2
        assert "a" in store
        assert "c" not in store
        assert store.get("c") is None
        assert {k: v.tolist() for k, v in store.items()} == {"a": [1], "b": [2]}
        assert store.describe() == [("a", (1,), "float64"), ("b", (1,), "float64")]
        assert "weights.dat" in repr(store)
        assert "safetensors" in repr(store)
        with pytest.raises(KeyError):
            store["c"]
        with pytest.raises(KeyError):
            store.info("c")


def test_digest_is_that_of_the_file(save):
    path = save(a=[1.0])
    with open_weights(path) as store:
        assert store.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert store.path == path
        assert store.format == "safetensors"


def test_a_prefix_hides_what_lacks_it(save):
    with open_weights(save(model__a=[1.0], other__b=[2.0]), prefix="model.") as store:
        assert list(store) == ["a"]
        assert store["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("prefix", "match"),
    [("net.", "no name with the prefix 'net.'.*model.a"), ("model", "expected the prefix 'model.'")],
)
def test_a_prefix_that_fits_nothing(save, prefix, match):
    with pytest.raises(WeightsError, match=match):
        open_weights(save(model__a=[1.0]), prefix=prefix)


def test_missing_files(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        open_weights(tmp_path / "nowhere.pt")
    assert caught.value.exit_code == 2
    with pytest.raises(WeightsError) as caught:
        open_weights(tmp_path / "nowhere.pt", named_in_spec=True)
    assert caught.value.exit_code == 3


def test_files_are_closed_when_opening_fails(tmp_path):
    (tmp_path / "bad").write_bytes(b"nothing of use")
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("no /proc here")
    before = len(list(descriptors.iterdir()))
    for _ in range(5):
        with pytest.raises(WeightsError):
            open_weights(tmp_path / "bad")
    assert len(list(descriptors.iterdir())) == before


@pytest.mark.parametrize(
    ("prefix", "match"),
    [
        ("module.", "'module.'"),
        ("_orig_mod.", "'_orig_mod.'"),
        ("state_dict.model.", "'state_dict.model.'"),
        ("any.thing.", "'any.thing.'"),
    ],
)
def test_a_missing_name_suggests_the_prefix(tmp_path, prefix, match):
    path = tmp_path / "a"
    save_file({f"{prefix}conv1.weight": np.zeros((2, 1, 3)), f"{prefix}conv1.bias": np.zeros(2)}, path)
    with open_weights(path) as store, pytest.raises(MissingTensorError) as caught:
        get_tensor(store, "conv1.weight", used_for="weight of stage 'conv1'")
    text = str(caught.value)
    assert text.startswith(f"{path}: weight of stage 'conv1': found no tensor 'conv1.weight'")
    assert f"the prefix {match} would fit" in text
    assert f"{prefix}conv1.weight [2, 1, 3]" in text


def test_get_tensor_casts_once(save):
    with open_weights(save(a=[[1.0, 2.0]], i=[2**24 + 1])) as store:
        assert get_tensor(store, "a").dtype == np.float32
        assert get_tensor(store, "a", (1, 2), dtype="float64").tolist() == [[1, 2]]
        assert get_tensor(store, "i", dtype="float32").tolist() == [2**24]
        assert get_tensor(store, "a", dtype="bfloat16").dtype == ml_dtypes.bfloat16


def test_another_shape_is_refused_before_reading(save):
    with open_weights(save(a=np.zeros((4, 2)))) as store:
        store._reader.read = None
        with pytest.raises(WeightsError, match=r"a \(weight of 'x'\): found shape \[4, 2\], expected \[2, 4\]"):
            get_tensor(store, "a", (2, 4), used_for="weight of 'x'")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ml_dtypes.bfloat16])
def test_values_that_are_not_finite_are_counted(bad, dtype):
    values = np.array([1, bad, 3, bad], dtype)
    with pytest.raises(WeightsError, match="conv: found 2 of 4 values NaN or Inf"):
        to_dtype(values, "float32", where="conv")


def test_overflow_is_refused():
    assert to_dtype(np.array([1e38]), "float32").dtype == np.float32
    with pytest.raises(WeightsError, match="1 of 2 values too large for float32"):
        to_dtype(np.array([1.0, 1e39]), "float32")
    with pytest.raises(WeightsError, match="too large for float16"):
        to_dtype(np.array([70000]), "float16")


def test_cast_keeps_scalars_and_order():
    assert to_dtype(np.array(1.5), "float32").shape == ()
    assert to_dtype(np.zeros((3, 4)).T, "float64").flags.c_contiguous


def test_a_real_network_under_another_name():
    folder = os.environ.get("VOLCONV_TEST_DATA")
    if not folder:
        pytest.skip("VOLCONV_TEST_DATA is not set")
    with open_weights(Path(folder) / "nets/brainchop_tissue_fast/model.pth") as store:
        assert store.format == "safetensors"
        assert store.info("model.0.weight").shape == (5, 1, 3, 3, 3)
        assert get_tensor(store, "model.0.weight", (5, 1, 3, 3, 3)).std() > 0
        with pytest.raises(WeightsError, match=r"prefix 'model\.' would fit"):
            get_tensor(store, "0.weight")
    with pytest.raises(WeightsError, match="JSON"):
        open_weights(Path(folder) / "nets/brainchop_tissue_fast/colormap.json")
