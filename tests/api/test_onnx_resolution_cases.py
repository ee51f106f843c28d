"""ONNX' own cases of the operators that change resolution, from the onnx package: node tests and stored models."""

import importlib
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import volconv

onnx = pytest.importorskip("onnx")

TYPES = {
    "MaxPool": "maxpool", "AveragePool": "averagepool", "Upsample": "upsample", "Resize": "resize",
    "DepthToSpace": "depthtospace",
}  # fmt: skip
POOLS = {"MaxPool": "MaxPool", "AveragePool": "AvgPool"}
NAMES = {"dilations": "dilation", "kernel_shape": "kernel_size", "strides": "stride"}  # ONNX' attribute: ours
SINGLES = {"kernel_size": [1], "stride": [1], "dilation": [1]}  # along an axis of one voxel
LEFT_OUT = {
    "Indices": ("maxpool_with_argmax_2d_precomputed_pads", "maxpool_with_argmax_2d_precomputed_strides"),
    "cubic": (
        "resize_upsample_scales_cubic", "resize_upsample_scales_cubic_align_corners", "resize_downsample_scales_cubic",
        "resize_downsample_scales_cubic_align_corners", "resize_upsample_sizes_cubic", "resize_downsample_sizes_cubic",
        "resize_upsample_scales_cubic_A_n0p5_exclude_outside", "resize_downsample_scales_cubic_A_n0p5_exclude_outside",
        "resize_upsample_scales_cubic_asymmetric",
    ),
    "antialias": (
        "resize_downsample_scales_linear_antialias", "resize_downsample_sizes_linear_antialias",
        "resize_downsample_scales_cubic_antialias", "resize_downsample_sizes_cubic_antialias",
    ),
    "tf_crop_and_resize": (
        "resize_tf_crop_and_resize", "resize_tf_crop_and_resize_extrapolation_value",
        "resize_tf_crop_and_resize_axes_2_3", "resize_tf_crop_and_resize_axes_3_2",
    ),
    "keep_aspect_ratio_policy": (
        "resize_upsample_sizes_nearest_not_larger", "resize_upsample_sizes_nearest_not_smaller",
        "resize_downsample_sizes_nearest_not_larger", "resize_downsample_sizes_nearest_not_smaller",
    ),
    "half_pixel_symmetric": (
        "resize_downsample_scales_linear_half_pixel_symmetric", "resize_upsample_scales_linear_half_pixel_symmetric",
    ),
}  # fmt: skip
REASONS = {f"test_{name}": reason for reason, names in LEFT_OUT.items() for name in names}
# The package's reference takes 0.6 times 4 voxels for 2.4 voxels long; ONNX' text, ONNX Runtime and torch say 2.
CORRECTED = {"test_resize_downsample_scales_linear_align_corners": np.array([[[[1.0, 4.0]]]])}
# Written down with four digits.
ROUNDED = ("test_averagepool_2d_ceil_last_window_starts_on_pad",)


def node_cases():
    """Yield (name, node, inputs by place, output) of the node tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in TYPES.values():
            importlib.import_module(f"onnx.backend.test.case.node.{module}")
    for found in importlib.import_module("onnx.backend.test.case.node")._NodeTestCases:
        node = found.model.graph.node[0]
        if node.op_type in TYPES:
            ((inputs, outputs),) = found.data_sets
            yield found.name, node, by_place(node, inputs), outputs[0]


def stored_cases():
    """Yield the same of the models the package ships that are one such operator."""
    for path in sorted((Path(onnx.__file__).parent / "backend" / "test" / "data").glob("*/*/model.onnx")):
        model = onnx.load(path)
        nodes = model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in TYPES and path.parent.parent.name != "node":
            held = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
            folder = path.parent / "test_data_set_0"
            given = [name.name for name in model.graph.input if name.name not in held]
            held.update({name: _tensor(folder / f"input_{n}.pb") for n, name in enumerate(given)})
            inputs = [held[name] for name in nodes[0].input if name]
            yield path.parent.name, nodes[0], by_place(nodes[0], inputs), _tensor(folder / "output_0.pb")


def by_place(node, inputs):
    """Return the input at each place that has one."""
    return dict(zip([n for n, name in enumerate(node.input) if name], inputs, strict=True))


def _tensor(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return onnx.numpy_helper.to_array(tensor)


@cache
def list_cases():
    """Return all cases; the package computes their results as it is imported, which takes seconds."""
    return [*node_cases(), *stored_cases()]


def attributes_of(node):
    found = {NAMES.get(a.name, a.name): onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {key: v.decode() if isinstance(v, bytes) else list(v) if np.ndim(v) else v for key, v in found.items()}


def pool_stage(node, rank):
    """Return the stage of a pooling; along one axis it becomes one along two, the first of one voxel."""
    values = attributes_of(node)
    if rank == 1:
        values = {key: SINGLES[key] + v if key in SINGLES else v for key, v in values.items()}
        if "pads" in values:
            values["pads"] = [0, values["pads"][0], 0, values["pads"][1]]
    return {"op": f"{POOLS[node.op_type]}{max(rank, 2)}d", **values}


def resize_stage(node, inputs, rank):
    """Return the stage of a Resize or an Upsample: scales and sizes of the spatial axes, as lists."""
    values = attributes_of(node)
    axes = values.pop("axes", list(range(rank + 2)))
    place = 1 if node.op_type == "Upsample" else 2 if 2 in inputs else 3
    numbers = dict(zip(axes, inputs[place].tolist(), strict=True))
    return {
        "op": node.op_type,
        ("size" if place == 3 else "scale_factor"): [numbers[axis] for axis in (2, 3)],
        **values,
    }


def run(stage, x):
    """Run `stage` on a batch of slices, (N, C, H, W), or of volumes."""
    spec = {"volconv": 1, "dialect": "onnx", "input": {"channels": x.shape[1]}, "stages": [stage]}
    pipeline = volconv.load(spec)
    if x.ndim == 4:  # slices work one by one: a batch of them is a volume
        return pipeline(x.swapaxes(0, 1), tile=(1, 5, 7)).swapaxes(0, 1)
    return pipeline(x, tile=(3, 5, 7))


def run_case(name, node, inputs, expected):
    expected = CORRECTED.get(name, expected)
    x = inputs[0].astype(np.float32)
    rank = x.ndim - 2
    if rank == 1:
        x = x[:, :, None]
    if node.op_type == "DepthToSpace":
        stage = {"op": "DepthToSpace", **attributes_of(node)}
    else:
        stage = pool_stage(node, rank) if node.op_type in POOLS else resize_stage(node, inputs, rank)
    found = run(stage, x)
    found = found[:, :, 0] if rank == 1 else found
    assert found.shape == expected.shape, name
    tolerance = 1e-4 if name in ROUNDED else 1e-5
    np.testing.assert_allclose(found, expected.astype(np.float32), rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_cases_of(kind):
    cases = [case for case in list_cases() if case[1].op_type == kind and case[0] not in REASONS]
    assert cases
    for case in cases:
        run_case(*case)


@pytest.mark.slow
def test_what_is_left_out_is_refused():
    for name, node, inputs, _ in list_cases():
        if name not in REASONS:
            continue
        if REASONS[name] == "Indices":
            assert len(node.output) == 2
            continue
        with pytest.raises(volconv.VolconvError, match=REASONS[name]):
            run(
                {"op": "Resize", "scale_factor": 2, **{k: v for k, v in attributes_of(node).items() if k != "axes"}},
                inputs[0],
            )


@pytest.mark.slow
def test_every_case_runs_or_is_left_out_by_name():
    """What version 1.23 of the package has; another may have more."""
    cases = list_cases()
    assert set(REASONS) <= {case[0] for case in cases}
    found = Counter((node.op_type, inputs[0].ndim - 2) for name, node, inputs, _ in cases if name not in REASONS)
    known = {("MaxPool", 1): 1, ("MaxPool", 2): 12, ("MaxPool", 3): 4, ("AveragePool", 1): 1, ("AveragePool", 2): 13,
             ("AveragePool", 3): 6, ("Upsample", 2): 1, ("Resize", 2): 16, ("DepthToSpace", 2): 2}  # fmt: skip
    assert {key: found[key] >= count for key, count in known.items()} == dict.fromkeys(known, True), found
