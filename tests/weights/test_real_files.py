"""Trained networks as their authors published them; found through VOLCONV_TEST_DATA."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from volconv.api.inspect_file import inspect
from volconv.errors import WeightsError
from volconv.weights.store import get_tensor, open_weights

NETS = Path(os.environ.get("VOLCONV_TEST_DATA", "")) / "nets"
pytestmark = pytest.mark.skipif("VOLCONV_TEST_DATA" not in os.environ, reason="VOLCONV_TEST_DATA is not set")


def test_storages_from_a_graphics_card():
    with open_weights(NETS / "brainchop_mindgrab" / "model.pth") as store:
        assert store.format == "PyTorch"
        assert store.info("model.0.0.weight").shape == (15, 1, 3, 3, 3)
        layers = [name for name in store if name.endswith(".0.weight")]
        assert len(layers) >= 25
        for name in store:
            assert get_tensor(store, name).std() > 0 or store.info(name).shape == (1,)


def test_the_legacy_format_and_onnx_hold_the_same_network():
    path = NETS / "hippodeep_head_unet" / "params_head_00075_00000.pt"
    with open_weights(path) as store:
        assert store.format == "PyTorch (before 1.6)"
        assert store.info("bn0a.num_batches_tracked").dtype == "int64"
        arch = json.loads((path.parent / "arch.json").read_text())
        keys = {layer["weight_key"] for layer in arch if "weight_key" in layer}
        assert {f"{key}.weight" for key in keys} <= set(store)
        pytest.importorskip("onnx")
        with open_weights(NETS / "onnx" / "hippodeep_head_unet.onnx") as other:
            shared = set(store) & set(other)
            assert len(shared) >= 2 * len(keys)
            for key in shared:
                np.testing.assert_array_equal(store[key], other[key])


def test_onnx_and_safetensors_hold_the_same_network():
    pytest.importorskip("onnx")
    folder = NETS / "brainchop_tissue_fast"
    with open_weights(folder / "model.pth") as store, open_weights(NETS / "onnx" / f"{folder.name}.onnx") as other:
        assert len(store) == len(other) == 20
        for found, wanted in zip(other, store, strict=True):
            np.testing.assert_array_equal(other[found], store[wanted])


EVERY = {
    "brainchop_gwm11_tfjs/model.bin": ("TensorFlow.js", 18),
    "brainchop_gwm11_tfjs/model.json": ("TensorFlow.js", 18),
    "brainchop_mindgrab/model.pth": ("PyTorch", 27),
    "brainchop_tissue_fast/model.bin": ("MeshNet (raw)", 20),
    "brainchop_tissue_fast/model.json": ("MeshNet (raw)", 20),
    "brainchop_tissue_fast/model.pth": ("safetensors", 20),
    "hippodeep_head_unet/params_head_00075_00000.pt": ("PyTorch (before 1.6)", 65),
    "onnx/brainchop_tissue_fast.onnx": ("ONNX", 20),
    "onnx/hippodeep_head_unet.onnx": ("ONNX", 59),
}


@pytest.mark.parametrize("file", EVERY)
def test_every_weights_file_is_described_and_read(file):
    if file.endswith(".onnx"):
        pytest.importorskip("onnx")
    found = inspect(NETS / file)
    assert (found["kind"], found["format"], len(found["tensors"])) == ("weights", *EVERY[file])
    with open_weights(NETS / file) as store:
        for tensor in found["tensors"]:
            values = store[tensor["name"]]
            assert (list(values.shape), values.dtype.name) == (tensor["shape"], tensor["dtype"])
            assert np.isfinite(values).all()


def test_no_weights_file_is_left_out():
    suffixes = {".bin", ".pth", ".pt", ".onnx", ".h5", ".npz", ".safetensors"}
    files = {str(path.relative_to(NETS)) for path in NETS.rglob("*") if path.suffix in suffixes}
    assert {file for file in files if not file.endswith("_samples.npz")} <= set(EVERY)


def test_raw_numbers_of_a_meshnet_are_those_of_its_safetensors():
    """There they have the order of axes of TensorFlow.js, which the list of layers does not say."""
    folder = NETS / "brainchop_tissue_fast"
    with open_weights(folder / "model.bin") as raw, open_weights(folder / "model.pth") as store:
        for number in range(10):
            kernel = store[f"model.{2 * number}.weight"].transpose(2, 3, 4, 1, 0)
            np.testing.assert_array_equal(raw[f"layers.{number}.weight"], kernel.reshape(-1))
            np.testing.assert_array_equal(raw[f"layers.{number}.bias"], store[f"model.{2 * number}.bias"])


@pytest.mark.parametrize(
    ("file", "match"),
    [
        ("brainchop_mindgrab/model.json", "kernel_size .-1, 5, 3., expected whole numbers"),
        ("brainchop_mindgrab/arch.json", "JSON document|unknown format"),
        ("hippodeep_head_unet/input.nii.gz", "gzip stream"),
    ],
)
def test_what_lies_beside_them_is_refused(file, match):
    with pytest.raises(WeightsError, match=match):
        open_weights(NETS / file)
