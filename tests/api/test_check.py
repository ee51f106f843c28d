import json

import jsonschema
import numpy as np
import pytest

from volconv.api.check import check, schema
from volconv.errors import SpecError, WeightsError
from volconv.spec.presets import preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_sound(name):
    report = check(name)
    assert report["name"] == name
    assert report["stages"]


def test_weights_are_checked_and_unused_ones_named(tmp_path):
    np.savez(
        tmp_path / "w.npz", **{"c.weight": np.ones((2, 1, 3, 3, 3), "f4"), "c.bias": np.ones(2), "d.x": np.ones(1)}
    )
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"volconv": 1, "weights": "w.npz", "stages": [{"op": "Conv3d", "name": "c"}]}))
    report = check(path)
    assert report["weights"][0]["unused"] == ["d.x"]
    assert report["stages"][0]["tensors"] == {"weight": [2, 1, 3, 3, 3], "bias": [2]}
    path.write_text(json.dumps({"volconv": 1, "weights": "w.npz", "stages": [{"op": "Conv3d", "name": "e"}]}))
    with pytest.raises(WeightsError, match=r"e\.weight"):
        check(path)
    path.write_text(json.dumps(
        {"volconv": 1, "weights": "w.npz", "stages": [{"op": "Conv3d", "name": "c", "kernel_size": 5}]}
    ))  # fmt: skip
    with pytest.raises(WeightsError, match=r"found shape \(2, 1, 3, 3, 3\), expected \(2, 1, 5, 5, 5\)"):
        check(path)


def test_faults_name_their_place(tmp_path):
    path = tmp_path / "s.yaml"
    stage = "{op: Conv3d, kernel_size: 3, out_channels: 1, stride: [1, 2], weight: {init: default, seed: 0}}"
    path.write_text(f"volconv: 1\nstages:\n  - {stage}\n")
    with pytest.raises(SpecError, match=r"line 3, column \d+: stages\[0\]\.stride: .*found a list of 2"):
        check(path)


def test_the_schema_takes_what_the_check_takes():
    document = schema()
    jsonschema.Draft202012Validator.check_schema(document)
    good = {"volconv": 1, "stages": [{"op": "Conv3d", "weight": {"generator": "sobel"}}]}
    jsonschema.validate(good, document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"volconv": 1, "stages": [{"op": "Conv3d", "strides": 2}]}, document)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dialect", "stage"),
    [
        ("onnx", {"op": "Conv3d", "pads": [0, 0, 0, 1, 1, 1], "auto_pad": "NOTSET"}),
        ("onnx", {"op": "ConvTranspose3d", "output_shape": [9, 9, 9], "stride": 2}),
        ("megengine", {"op": "Conv2d", "conv_mode": "cross_correlation", "compute_mode": "float32"}),
        ("lucid", {"op": "Conv3d", "padding": "SAME"}),
        ("torch", {"op": "ConvTranspose2d", "groups": 1, "output_padding": 0}),
    ],
)
def test_the_schema_and_the_check_take_every_dialect(dialect, stage):
    weight = {"init": "default", "seed": 0}
    spec = {
        "volconv": 1,
        "dialect": dialect,
        "stages": [{**stage, "out_channels": 2, "kernel_size": 3, "weight": weight}],
    }
    jsonschema.validate(spec, schema())
    assert check(spec)["dialect"] == dialect
