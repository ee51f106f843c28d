"""Trained networks as their authors published them; found through VOLCONV_TEST_DATA."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("file", "match"),
    [
        ("brainchop_gwm11_tfjs/model.bin", "unknown format"),
        ("brainchop_gwm11_tfjs/model.json", "JSON document"),
        ("brainchop_mindgrab/arch.json", "JSON document|unknown format"),
        ("hippodeep_head_unet/input.nii.gz", "gzip stream"),
    ],
)
def test_what_lies_beside_them_is_refused(file, match):
    with pytest.raises(WeightsError, match=match):
        open_weights(NETS / file)
