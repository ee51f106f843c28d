"""What a plan says of stages that read several others."""

import nibabel as nib
import numpy as np

import volconv

CONV = {"op": "Conv3d", "out_channels": 2, "kernel_size": 3, "padding": 1, "weight": {"init": "default", "seed": 0}}
STAGES = [
    {**CONV, "name": "skip"},
    {**CONV, "name": "down", "stride": 2},
    {**CONV, "op": "ConvTranspose3d", "name": "up", "kernel_size": 2, "stride": 2, "padding": 0},
    {"op": "Add", "name": "sum", "inputs": ["up", "skip"]},
    {"op": "ReLU", "name": "relu"},
    {**CONV, "name": "side", "input": "skip"},
]


def test_inputs_and_paths_that_disagree_are_shown(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), "f4"), np.eye(4)), tmp_path / "x.nii")
    plan = volconv.plan({"volconv": 1, "stages": STAGES, "outputs": ["relu", "side"]}, tmp_path / "x.nii")
    stages = {stage["name"]: stage for stage in plan.stages}
    assert list(stages) == ["skip", "down", "relu", "side"]
    assert stages["relu"]["inputs"] == ["down", "skip"]
    assert stages["relu"]["op"] == "ConvTranspose3d + Add + ReLU"
    assert stages["down"]["inputs"] == ["skip"]
    rows = {line.split()[0]: line for line in str(plan).splitlines() if line}
    assert "inputs=down,skip" in rows["relu"]
    assert " input=skip kernel_size=3" in rows["side"]
    assert "input=" not in rows["down"]
    (note,) = plan.to_json()["notes"]
    assert "0.5 voxels apart; the result lies where 'skip' does" in note
    assert f"note     {note}" in str(plan)
    assert "input > down > up" in note


def test_each_stage_tells_its_kernel_why_and_how_long(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((40, 40, 40), "f4"), np.eye(4)), tmp_path / "x.nii")
    smooth = {"op": "Conv3d", "padding": "same", "weight": {"generator": "mean", "size": 9}}
    dense = {**CONV, "out_channels": 16}
    stages = [smooth, {**dense, "name": "thin"}, {**dense, "name": "deep"}, {**CONV, "name": "few", "out_channels": 5}]
    spec = {"volconv": 1, "stages": [*stages, {**CONV, "name": "pairs", "out_channels": 5}, {"op": "Abs"}]}
    whole = volconv.plan(spec, tmp_path / "x.nii").stages
    assert [stage["why"] for stage in whole] == [
        "27 products for 729", "", "64 products for 216", "4 products for 6", "4 products for 6",
    ]  # fmt: skip
    cut = volconv.plan(spec, tmp_path / "x.nii", tile=(10, 10, 10)).stages
    assert all(0 < a["seconds"] < b["seconds"] for a, b in zip(whole[:-1], cut[:-1], strict=True))
    text = str(volconv.plan(spec, tmp_path / "x.nii"))
    assert "winograd, channels last (64 products for 216)" in text


def test_layers_of_stride_two_tell_what_they_save(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((40, 40, 40), "f4"), np.eye(4)), tmp_path / "x.nii")
    stages = [
        {**CONV, "name": "thin", "out_channels": 32},
        {**CONV, "name": "down", "out_channels": 32, "stride": 2},
        {**CONV, "op": "ConvTranspose3d", "name": "up", "out_channels": 32, "stride": 2},
        {**CONV, "op": "ConvTranspose3d", "name": "four", "out_channels": 32, "kernel_size": 4, "stride": 2},
        {**CONV, "op": "ConvTranspose3d", "name": "two", "kernel_size": 2, "stride": 2, "padding": 0},
    ]
    plan = volconv.plan({"volconv": 1, "stages": stages}, tmp_path / "x.nii")
    assert [stage["why"] for stage in plan.stages] == [
        "", "125 products for 216", "125 products for 216", "216 products for 512", "",
    ]  # fmt: skip


def test_parameters_are_the_words_of_the_spec(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), "f4"), np.eye(4)), tmp_path / "x.nii")
    stages = [
        {"op": "Clip", "min": 0, "max": 1.5},
        {"op": "Slice", "dim": [2, 3], "start": [1, 1]},
        {**CONV, "name": "conv", "bias": False, "padding": "same"},
        {"op": "LeakyReLU", "negative_slope": 0.2},
        {"op": "Crop", "size": [4, 5, 6]},
        {"op": "Mul", "value": [3, 4]},
        {"op": "GELU", "approximate": "tanh"},
        {"op": "ArgMax"},
        {"op": "Remap", "labels": {1: 10}},
    ]
    plan = volconv.plan({"volconv": 1, "stages": stages}, tmp_path / "x.nii")
    rows = {line.split()[0]: line for line in str(plan).splitlines() if line}
    for stage, words in {
        "Clip": "  min=0 max=1.5  ",
        "Slice": "  dim=2,3 start=1,1  ",
        "LeakyReLU": "  kernel_size=3 padding=same bias=false + negative_slope=0.2  ",
        "Crop": "  size=4x5x6  ",
        "GELU": "  value=3,4 + approximate=tanh  ",
        "Remap": "  labels={1: 10}  ",
    }.items():
        assert words in rows[stage]
    documents = {stage["name"]: stage for stage in plan.stages}
    assert documents["GELU"]["parameters"] == {"value": [3, 4]}
    assert documents["GELU"]["fused"] == [{"name": "GELU", "op": "GELU", "parameters": {"approximate": "tanh"}}]
