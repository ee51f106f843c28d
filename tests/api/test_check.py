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


@pytest.mark.parametrize(
    ("dialect", "stage", "shown"),
    [
        ("torch", {"op": "LeakyReLU", "negative_slope": 0.2}, {"negative_slope": 0.2}),
        ("torch", {"op": "Clip", "min": 0, "max": 1}, {"min": 0, "max": 1}),
        ("torch", {"op": "Mul", "value": 3}, {"value": 3}),
        ("torch", {"op": "GELU", "approximate": "tanh"}, {"approximate": "tanh"}),
        ("torch", {"op": "Slice", "dim": [3, 4], "end": [-1, -2]}, {"dim": [3, 4], "end": [-1, -2]}),
        ("torch", {"op": "Crop", "high": 1}, {"high": 1}),
        ("torch", {"op": "Flip", "dims": [2, 3]}, {"dims": [2, 3]}),
        ("torch", {"op": "MaxPool3d", "kernel_size": 2, "stride": None}, {"kernel_size": 2}),
        ("torch", {"op": "BatchNorm3d", "num_features": 1, "tensors": {
            "running_mean": [0], "running_var": [1], "weight": [1], "bias": [0]}}, {}),
        ("torch", {"op": "Conv3d", "weight": {"generator": "mean", "size": 5}, "padding": "same"},
         {"kernel_size": [5, 5, 5], "padding": "same", "bias": False}),
        ("onnx", {"op": "Slice", "axes": [2], "starts": [1], "ends": [9]}, {"axes": [2], "starts": [1], "ends": [9]}),
        ("onnx", {"op": "Pad", "pads": [1, 2], "axes": [4]}, {"pads": [1, 2], "axes": [4]}),
        ("megengine", {"op": "Pad", "pad_width": [[0, 0], [0, 0], [1, 1]]}, {"pad_width": [[0, 0], [0, 0], [1, 1]]}),
        ("megengine", {"op": "AvgPool2d", "kernel_size": 2, "mode": "average"}, {"kernel_size": 2, "mode": "average"}),
    ],
)  # fmt: skip
def test_parameters_are_the_words_of_the_spec(dialect, stage, shown):
    report = check({"volconv": 1, "dialect": dialect, "stages": [{"op": "Identity"}, stage]})
    assert report["stages"][1]["parameters"] == shown


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
